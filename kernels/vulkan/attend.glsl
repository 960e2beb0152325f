// One block of 256 keys, for kHeads heads of one token that share them: each thread has its share of the keys, then of
// the values. Whoever includes it says where keys and values are, and where the result goes.
#include "vulkan/dot4.glsl"
#include "vulkan/threads.glsl"
#include "vulkan/tree.glsl"
#include "vulkan/x16.glsl"

layout(constant_id = 1) const uint kDim = 128u;
layout(constant_id = 6) const uint kHeads = 1u;

const uint kQuads = kDim / 16u;   // of a head's digit
const uint kLanes = kDim / 4u;    // threads that share a row of V
const uint kGroups = kThreads / kLanes;
const uint kLoads = 8u;           // of V by a thread at a time; its 256 / kGroups keys are a multiple of it

// Key j of the block: kQuads of its high digits, then of the low ones; its scales; its value, four dimensions of 16
// bits.
uvec4 key_digits(uint j, uint quad);
float key_scale(uint j);
float value_scale(uint j);
ivec2 value_at(uint j, uint lane);
// The last key of a block may be at hand and not in the cache. The others are loaded all at once.
uvec4 own_digits(uint quad);
ivec2 own_value_at(uint lane);
void put_values(uint h, uint lane, vec4 values);
void put_sums(uint h, float maximum, float total);

shared uvec4 query[kHeads * 2u * kQuads];  // [head][high, low][quad]
shared float query_scale[kHeads];
shared float shares[kHeads * kThreads];  // of each thread: its largest score, then its sum of probabilities
shared float sixteen[kHeads * 16u];
shared uint most[kHeads * 8u];  // in eight places, where threads meet less often than in one
shared ivec2 weights[kHeads * 256u];  // the two digits of p * dv
shared ivec4 sums[2u * kThreads];     // of a group's keys, for each digit

uint most_of_head(uint h) {
    uint found = 0u;
    [[unroll]] for (uint i = 0u; i < 8u; i++) found = max(found, most[8u * h + i]);
    return found;
}

// Sums over the head of one key times each digit of Q, both digits of K.
struct Score {
    ivec2 high[kHeads], low[kHeads];
};

void add_part(inout Score s, uint part, uvec4 k_high, uvec4 k_low) {
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        uvec4 q_high = query[2u * kQuads * h + part], q_low = query[2u * kQuads * h + kQuads + part];
        s.high[h] += ivec2(dot16(k_high, q_high), dot16(k_low, q_high));
        s.low[h] += ivec2(dot16(k_high, q_low), dot16(k_low, q_low));
    }
}

void find_score(uint j, bool own, out Score s) {
    [[unroll]] for (uint h = 0u; h < kHeads; h++) s.high[h] = s.low[h] = ivec2(0);
    if (own) {
        [[dont_unroll]] for (uint part = 0u; part < kQuads; part++)
            add_part(s, part, own_digits(part), own_digits(kQuads + part));
        return;
    }
    [[unroll]] for (uint part = 0u; part < kQuads; part++)
        add_part(s, part, key_digits(j, part), key_digits(j, kQuads + part));
}

// Of every head its largest score, to all threads.
void largest(inout float x[kHeads]) {
    uint t = gl_LocalInvocationIndex;
    [[unroll]] for (uint h = 0u; h < kHeads; h++) shares[kThreads * h + t] = x[h];
    barrier();
    for (uint i = t; i < 16u * kHeads; i += kThreads) {
        uint first = i / 16u * kThreads + i % 16u;
        float found = shares[first];
        for (uint j = 16u; j < kThreads; j += 16u) found = qm_max(shares[first + j], found);
        sixteen[i] = found;
    }
    barrier();
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        x[h] = sixteen[16u * h];
        [[unroll]] for (uint j = 1u; j < 16u; j++) x[h] = qm_max(sixteen[16u * h + j], x[h]);
    }
}

// The tree of 256 over the probabilities of every head, but for its last steps; after the next barrier, in `sixteen`.
void begin_trees(vec4 x[kHeads]) {
    uint t = gl_LocalInvocationIndex;
    [[unroll]] for (uint h = 0u; h < kHeads; h++)
        shares[kThreads * h + t] = kShare == 4u ? qm_sum4(x[h].x, x[h].y, x[h].z, x[h].w) : x[h].x;
    barrier();
    for (uint i = t; i < 16u * kHeads; i += kThreads) {
        uint first = i / 16u * kThreads + i % 16u;
        if (kShare == 4u) {
            sixteen[i] = qm_sum4(shares[first], shares[first + 16u], shares[first + 32u], shares[first + 48u]);
        } else {
            float p[16];
            [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = shares[first + 16u * j];
            sixteen[i] = tree16(p);
        }
    }
}
float end_tree(uint h) {
    float p[16];
    [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = sixteen[16u * h + j];
    return tree16(p);
}

struct Weighed {
    ivec4 high[kHeads], low[kHeads];  // digits of the weight
};

void add_value(inout Weighed sum, ivec2 two, uint j) {
    ivec4 x = ivec4((two.x << 16) >> 16, two.x >> 16, (two.y << 16) >> 16, two.y >> 16);
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        ivec2 w = weights[256u * h + j];
        sum.high[h] += w.x * x;
        sum.low[h] += w.y * x;
    }
}

// Sums over the block's keys of V times a digit of its weight: a thread has four dimensions of every kGroups-th key.
void weigh_values(uint keys, bool own, out Weighed sum) {
    uint t = gl_LocalInvocationIndex, cached = own ? keys - 1u : keys;
    [[unroll]] for (uint h = 0u; h < kHeads; h++) sum.high[h] = sum.low[h] = ivec4(0);
    if (own && t < kLanes) add_value(sum, own_value_at(t), cached);
    // Many loads at a time.
    [[dont_unroll]] for (uint first = t / kLanes; first < cached; first += kLoads * kGroups) {
        ivec2 loaded[kLoads];
        [[unroll]] for (uint i = 0u; i < kLoads; i++)
            loaded[i] = first + i * kGroups < cached ? value_at(first + i * kGroups, t % kLanes) : ivec2(0);
        [[unroll]] for (uint i = 0u; i < kLoads; i++) add_value(sum, loaded[i], first + i * kGroups);
    }
}

// The query and its scales are there, and a barrier since. own: the last key is not in the cache.
void attend(uint keys, bool own) {
    uint t = gl_LocalInvocationIndex;
    if (t < 8u * kHeads) most[t] = 0u;
    vec4 scores[kHeads];  // of this thread's keys
    float maximum[kHeads];
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        scores[h] = vec4(QM_SCORE_FLOOR);
        maximum[h] = QM_SCORE_FLOOR;
    }
    [[unroll]] for (uint i = 0u; i < kShare; i++) {
        uint j = t + kThreads * i;
        if (j >= keys) continue;
        Score found;
        find_score(j, own && j + 1u == keys, found);
        float scale = key_scale(j);
        [[unroll]] for (uint h = 0u; h < kHeads; h++) {
            scores[h][i] = qm_score(query_scale[h], scale, 256 * found.high[h].x + found.high[h].y,
                                    256 * found.low[h].x + found.low[h].y);
            maximum[h] = qm_max(scores[h][i], maximum[h]);
        }
    }
    largest(maximum);

    vec4 probabilities[kHeads], scaled[kHeads];
    [[unroll]] for (uint h = 0u; h < kHeads; h++) probabilities[h] = scaled[h] = vec4(0.0f);
    [[unroll]] for (uint i = 0u; i < kShare; i++) {
        uint j = t + kThreads * i;
        if (j >= keys) continue;
        float scale = value_scale(j);
        [[unroll]] for (uint h = 0u; h < kHeads; h++) {
            probabilities[h][i] = qm_probability(scores[h][i], maximum[h]);
            scaled[h][i] = qm_mul(probabilities[h][i], scale);
        }
    }
    [[unroll]] for (uint h = 0u; h < kHeads; h++) atomicMax(most[8u * h + (t & 7u)], most_of(scaled[h]));
    begin_trees(probabilities);
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        float inverse = qm_x16_inverse(most_of_head(h));
        [[unroll]] for (uint i = 0u; i < kShare; i++) {
            int q = qm_x16(scaled[h][i], inverse);
            weights[256u * h + t + kThreads * i] = ivec2(qm_x16_high(q), qm_x16_low(q));
        }
    }
    barrier();

    [[unroll]] for (uint h = 0u; h < kHeads; h++)
        if (t == h) put_sums(h, maximum[h], end_tree(h));
    Weighed sum;
    weigh_values(keys, own, sum);
    [[unroll]] for (uint h = 0u; h < kHeads; h++) {
        if (h > 0u) barrier();
        sums[t] = sum.high[h];
        sums[kThreads + t] = sum.low[h];
        barrier();
        if (t < kLanes) {
            ivec4 all_high = ivec4(0), all_low = ivec4(0);
            [[unroll]] for (uint g = 0u; g < kGroups; g++) {
                all_high += sums[g * kLanes + t];
                all_low += sums[kThreads + g * kLanes + t];
            }
            float scale = qm_x16_scale(most_of_head(h));
            vec4 values;
            [[unroll]] for (uint i = 0u; i < 4u; i++) values[i] = qm_block_value(scale, all_high[i], all_low[i]);
            put_values(h, t, values);
        }
    }
    barrier();
}
