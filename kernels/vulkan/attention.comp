#version 460
// Causal attention, its first half: every block of 256 keys of every head by itself, each thread with its share of
// them. merge.comp has the second.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot4.glsl"
#include "vulkan/tree256.glsl"
#include "vulkan/x16.glsl"

layout(constant_id = 1) const uint kDim = 128u;
layout(push_constant) uniform Constants { AttentionConstants c; };
layout(binding = 0) readonly buffer QueryDigits { uvec4 query_digits[]; };
layout(binding = 1) readonly buffer QueryScale { float query_scale[]; };
layout(binding = 2) readonly buffer Places { Place places[]; };
layout(binding = 3) readonly buffer Caches { uvec2 caches[]; };
layout(binding = 4) writeonly buffer Values { float values[]; };    // [tokens][heads][count][head_dim]
layout(binding = 5) writeonly buffer Maximum { float maximum[]; };  // [tokens][heads][count]
layout(binding = 6) writeonly buffer Total { float total[]; };      // [tokens][heads][count]

const uint kQuads = kDim / 16u;   // of a head's digit
const uint kLanes = kDim / 4u;    // threads that share a row of V
const uint kGroups = kThreads / kLanes;
const uint kLoads = 8u;           // of V by a thread at a time; its 256 / kGroups keys are a multiple of it

shared uvec4 query[16];           // high digits, low digits
shared float maxima[kThreads];
shared float first_maxima[16];
shared uint most;
shared ivec2 weights[256];        // the two digits of p * dv
shared ivec4 sums[2][kThreads];   // of a group's keys, for each digit

// Sums over the head of one key times each digit of Q.
ivec2 score_of(uvec2 keys, uint row) {
    Quads k = Quads(keys);
    uint at = row / QM_KEY_TILE * 2u * kQuads * QM_KEY_TILE + row % QM_KEY_TILE;
    ivec2 high = ivec2(0), low = ivec2(0);
    [[unroll]] for (uint part = 0u; part < kQuads; part++) {
        uvec4 k_high = k.at[at + part * QM_KEY_TILE];
        uvec4 k_low = k.at[at + (kQuads + part) * QM_KEY_TILE];
        high += ivec2(dot16(k_high, query[part]), dot16(k_low, query[part]));
        low += ivec2(dot16(k_high, query[kQuads + part]), dot16(k_low, query[kQuads + part]));
    }
    return ivec2(256 * high.x + high.y, 256 * low.x + low.y);
}

float block_max(float x) {
    uint t = gl_LocalInvocationIndex;
    maxima[t] = x;
    barrier();
    if (t < 16u) {
        for (uint j = t + 16u; j < kThreads; j += 16u) x = qm_max(maxima[j], x);
        first_maxima[t] = x;
    }
    barrier();
    x = first_maxima[0];
    [[unroll]] for (uint j = 1u; j < 16u; j++) x = qm_max(first_maxima[j], x);
    return x;
}

// Sums over the block's keys of V times a digit of its weight: a thread has four dimensions of every kGroups-th key.
void weigh_values(uvec2 v, uint row, uint keys) {
    uint t = gl_LocalInvocationIndex;
    Pairs pairs = Pairs(v);
    ivec4 high = ivec4(0), low = ivec4(0);
    // Many loads at a time; past the last key its row is taken again, by a weight of zero.
    for (uint first = t / kLanes; first < keys; first += kLoads * kGroups) {
        ivec2 loaded[kLoads];
        [[unroll]] for (uint i = 0u; i < kLoads; i++)
            loaded[i] = ivec2(pairs.at[(row + min(first + i * kGroups, keys - 1u)) * kLanes + t % kLanes]);
        [[unroll]] for (uint i = 0u; i < kLoads; i++) {
            ivec2 two = loaded[i], w = weights[first + i * kGroups];
            ivec4 x = ivec4((two.x << 16) >> 16, two.x >> 16, (two.y << 16) >> 16, two.y >> 16);
            high += w.x * x;
            low += w.y * x;
        }
    }
    sums[0][t] = high;
    sums[1][t] = low;
}

void key_block(uint b, uint h, uint t) {
    uint token = c.first + t;
    Place place = places[token];
    uint first = b * QM_KEY_BLOCK;
    if (first > place.position) return;
    uint keys = min(QM_KEY_BLOCK, place.position + 1u - first);
    uint thread = gl_LocalInvocationIndex;
    uint head = token * c.p.heads + h;
    if (thread < 2u * kQuads) query[thread] = query_digits[head * 2u * kQuads + thread];
    if (thread == 0u) most = 0u;
    barrier();

    uvec2 cache = caches[c.layer * c.sequences + place.sequence];
    uint rows = c.p.kv_heads * place.context;
    uint row = h / (c.p.heads / c.p.kv_heads) * place.context + first;
    Floats scales = Floats(after(cache, rows * 4u * kDim));
    vec4 scores = vec4(QM_SCORE_FLOOR);  // of this thread's keys
    float own_maximum = QM_SCORE_FLOOR;
    for (uint i = 0u; i < kShare; i++) {
        uint j = thread + kThreads * i;
        if (j >= keys) break;
        ivec2 sum = score_of(cache, row + j);
        scores[i] = qm_score(query_scale[head], scales.at[row + j], sum.x, sum.y);
        own_maximum = qm_max(scores[i], own_maximum);
    }
    float block_maximum = block_max(own_maximum);

    vec4 probabilities = vec4(0.0f), scaled = vec4(0.0f);
    for (uint i = 0u; i < kShare; i++) {
        uint j = thread + kThreads * i;
        if (j >= keys) break;
        probabilities[i] = qm_probability(scores[i], block_maximum);
        scaled[i] = qm_mul(probabilities[i], scales.at[rows + row + j]);
    }
    atomicMax(most, most_of(scaled));
    float block_total = tree256(probabilities);
    float inverse = qm_x16_inverse(most);
    for (uint i = 0u; i < kShare; i++) {
        int q = qm_x16(scaled[i], inverse);
        weights[thread + kThreads * i] = ivec2(qm_x16_high(q), qm_x16_low(q));
    }
    barrier();

    weigh_values(after(cache, rows * 2u * kDim), row, keys);
    barrier();
    uint at = (t * c.p.heads + h) * c.count + b;
    if (thread < kLanes) {
        ivec4 high = ivec4(0), low = ivec4(0);
        [[unroll]] for (uint g = 0u; g < kGroups; g++) {
            high += sums[0][g * kLanes + thread];
            low += sums[1][g * kLanes + thread];
        }
        float scale = qm_x16_scale(most);
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            values[at * kDim + 4u * thread + i] = qm_block_value(scale, high[i], low[i]);
    }
    if (thread == 0u) {
        maximum[at] = block_maximum;
        total[at] = block_total;
    }
    barrier();
}

void main() {
    for (uint b = gl_WorkGroupID.x; b < c.count; b += gl_NumWorkGroups.x)
        key_block(b, gl_WorkGroupID.y, gl_WorkGroupID.z);
}
