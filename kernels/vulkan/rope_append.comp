#version 460
// Per-head RMSNorm of Q and K, rotation by position, and K and V into the cache as X16: a workgroup for each head, a
// thread for each of its 64 or 128 elements.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/x16.glsl"

layout(local_size_x_id = 1) in;
layout(push_constant) uniform Constants { RopeAppendConstants c; };
layout(binding = 0) buffer Q { float q[]; };
layout(binding = 1) buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
layout(binding = 3) readonly buffer Places { Place places[]; };
layout(binding = 4) readonly buffer Caches { uvec2 caches[]; };           // [layers][sequences]
layout(binding = 5) writeonly buffer QueryDigits { uint query_digits[]; };  // [tokens][heads][high, low][head_dim]
layout(binding = 6) writeonly buffer QueryScale { float query_scale[]; };   // [tokens][heads], times score_scale

shared float head[128];
shared float first[16];
shared uint most;

// The tree of 256 over the squares of a head, of which all past its end are zero.
float sum_of_squares(float x) {
    uint dim = gl_WorkGroupSize.x, t = gl_LocalInvocationIndex;
    head[t] = qm_mul_add(x, x, 0.0f);
    barrier();
    float p[8];
    if (t < 16u) {
        [[unroll]] for (uint j = 0u; j < 8u; j++) p[j] = 16u * j < dim ? head[t + 16u * j] : 0.0f;
        first[t] = qm_sum8(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
    }
    barrier();
    [[unroll]] for (uint j = 0u; j < 8u; j++) p[j] = qm_add(first[j], first[j + 8u]);
    return qm_sum8(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
}

// The head's normalised elements and this thread's, rotated.
float norm_and_rotate(float x, Floats weight, Floats angles) {
    uint dim = gl_WorkGroupSize.x, t = gl_LocalInvocationIndex, i = t & (dim / 2u - 1u);
    float factor = qm_norm_factor(qm_settle(sum_of_squares(x)), c.p.inverse_head_dim, c.p.eps);
    head[t] = qm_norm(x, factor, weight.at[t]);
    barrier();
    float a = head[i], b = head[i + dim / 2u];
    barrier();
    float cosine = angles.at[i], sine = angles.at[i + dim / 2u];
    return t < dim / 2u ? qm_rope_first(a, b, cosine, sine) : qm_rope_second(a, b, cosine, sine);
}

void main() {
    uint dim = gl_WorkGroupSize.x, i = gl_LocalInvocationIndex;
    uint t = gl_WorkGroupID.x, h = gl_WorkGroupID.y;
    Place place = places[t];
    bool is_q = h < c.p.heads;
    bool is_k = !is_q && h < c.p.heads + c.p.kv_heads;
    uint kv = h - c.p.heads - (is_k ? 0u : c.p.kv_heads);
    uint at = is_q ? t * c.p.heads + h : t * c.p.kv_heads + kv;

    float x;
    if (is_q || is_k) {
        Floats weight = Floats(is_q ? address(c.q_norm) : address(c.k_norm));
        Floats angles = Floats(row_after(address(c.rope), place.position, 4u * dim));
        x = norm_and_rotate(is_q ? q[at * dim + i] : k[at * dim + i], weight, angles);
        if (is_q)
            q[at * dim + i] = x;
        else
            k[at * dim + i] = x;
    } else {
        x = v[at * dim + i];
    }

    // X16 of the head: four elements for each of the first threads.
    head[i] = x;
    if (i == 0u) most = 0u;
    barrier();
    atomicMax(most, qm_abs_bits(x));
    barrier();
    if (i >= dim / 4u) return;
    float inverse = qm_x16_inverse(most);
    ivec4 X = quantised(vec4(head[4u * i], head[4u * i + 1u], head[4u * i + 2u], head[4u * i + 3u]), inverse);
    float scale = qm_x16_scale(most);
    if (is_q) {
        query_digits[at * dim / 2u + i] = pack4(high_digits(X));
        query_digits[at * dim / 2u + dim / 4u + i] = pack4(low_digits(X));
        if (i == 0u) query_scale[at] = qm_mul(scale, c.p.score_scale);
        return;
    }
    uvec2 cache = caches[c.layer * c.sequences + place.sequence];
    uint rows = c.p.kv_heads * place.context;
    uint row = kv * place.context + place.position;
    if (is_k) {
        WordsOut to = WordsOut(cache);
        uint high = (row / QM_KEY_TILE * (dim / 8u) + i / 4u) * QM_KEY_TILE + row % QM_KEY_TILE;
        uint low = high + dim / 16u * QM_KEY_TILE;
        to.at[4u * high + i % 4u] = pack4(high_digits(X));
        to.at[4u * low + i % 4u] = pack4(low_digits(X));
    } else {
        WordsOut to = WordsOut(after(cache, rows * 2u * dim));
        to.at[row * dim / 2u + 2u * i] = (uint(X.x) & 0xffffu) | (uint(X.y) << 16);
        to.at[row * dim / 2u + 2u * i + 1u] = (uint(X.z) & 0xffffu) | (uint(X.w) << 16);
    }
    if (i == 0u) FloatsOut(after(cache, rows * 4u * dim)).at[is_k ? row : rows + row] = scale;
}
