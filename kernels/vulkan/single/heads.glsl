// The heads of one token, made by the workgroup that needs them: norm and rotation of Q and K, and all as X16.
#include "vulkan/attend.glsl"

const uint kOwn = kHeads + 2u;  // heads of Q, then K, then V

shared float elements[kOwn * kDim];
shared float rotated[kOwn * kDim];  // before, the squares
shared float squares16[kOwn * 16u];
shared float norms[2u * kDim];  // weights, of Q and of K
shared float angles[kDim];
shared uint own_most[kOwn * 8u];

shared uvec4 own_key[2u * kQuads];  // [high, low][quad]
shared ivec2 own_value[kLanes];
shared float own_scales[2];  // of the two

float element(uint head, uint i);  // as the projections have it

// `count`: with K and V, or without. Ends with a barrier.
void make_heads(RopeAppendParams p, Floats q_norm, Floats k_norm, Floats angle, uint count) {
    uint t = gl_LocalInvocationIndex;
    for (uint i = t; i < kDim; i += kThreads) {
        norms[i] = q_norm.at[i];
        norms[kDim + i] = k_norm.at[i];
        angles[i] = angle.at[i];
    }
    for (uint i = t; i < count * kDim; i += kThreads) {
        elements[i] = element(i / kDim, i % kDim);
        rotated[i] = qm_mul_add(elements[i], elements[i], 0.0f);
    }
    for (uint i = t; i < 8u * kOwn; i += kThreads) own_most[i] = 0u;
    barrier();
    // The tree of 256 over the squares of a head, of which all past its end are zero.
    for (uint i = t; i < 16u * count; i += kThreads) {
        float x[8];
        [[unroll]] for (uint j = 0u; j < 8u; j++)
            x[j] = 16u * j < kDim ? rotated[i / 16u * kDim + i % 16u + 16u * j] : 0.0f;
        squares16[i] = qm_sum8(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
    }
    barrier();
    for (uint i = t; i < min(count, kHeads + 1u) * kDim; i += kThreads) {
        uint head = i / kDim;
        float x[16];
        [[unroll]] for (uint j = 0u; j < 16u; j++) x[j] = squares16[16u * head + j];
        float factor = qm_norm_factor(qm_settle(tree16(x)), p.inverse_head_dim, p.eps);
        elements[i] = qm_norm(elements[i], factor, norms[(head == kHeads ? kDim : 0u) + i % kDim]);
    }
    barrier();
    for (uint i = t; i < count * kDim; i += kThreads) {
        uint head = i / kDim, e = i % kDim, pair = e & (kDim / 2u - 1u);
        float x = elements[i];
        if (head <= kHeads) {
            float a = elements[head * kDim + pair], b = elements[head * kDim + pair + kDim / 2u];
            float cosine = angles[pair], sine = angles[pair + kDim / 2u];
            x = e < kDim / 2u ? qm_rope_first(a, b, cosine, sine) : qm_rope_second(a, b, cosine, sine);
        }
        rotated[i] = x;
        atomicMax(own_most[8u * head + (e & 7u)], qm_abs_bits(x));
    }
    barrier();
    for (uint i = t; i < count * kLanes; i += kThreads) {
        uint head = i / kLanes, lane = i % kLanes, found = 0u;
        [[unroll]] for (uint j = 0u; j < 8u; j++) found = max(found, own_most[8u * head + j]);
        vec4 x = vec4(rotated[4u * i], rotated[4u * i + 1u], rotated[4u * i + 2u], rotated[4u * i + 3u]);
        ivec4 X = quantised(x, qm_x16_inverse(found));
        float scale = qm_x16_scale(found);
        uint quad = lane / 4u, word = lane & 3u;
        if (head < kHeads) {
            query[2u * kQuads * head + quad][word] = pack4(high_digits(X));
            query[2u * kQuads * head + kQuads + quad][word] = pack4(low_digits(X));
            if (lane == 0u) query_scale[head] = qm_mul(scale, p.score_scale);
        } else if (head == kHeads) {
            own_key[quad][word] = pack4(high_digits(X));
            own_key[kQuads + quad][word] = pack4(low_digits(X));
        } else {
            own_value[lane] = ivec2((X.x & 0xffff) | (X.y << 16), (X.z & 0xffff) | (X.w << 16));
        }
        if (head >= kHeads && lane == 0u) own_scales[head - kHeads] = scale;
    }
    barrier();
}
