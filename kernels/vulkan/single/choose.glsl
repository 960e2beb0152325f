// The experts that the router's scores choose, as topk.comp does; every workgroup chooses for itself.
#include "vulkan/max256.glsl"
#include "vulkan/tree256.glsl"

layout(constant_id = 7) const uint kExperts = 128u;
const uint kKeys = (kExperts + 3u) / 4u;  // quads of them

layout(binding = 1) readonly buffer Logits { float router_logits[]; };

shared float probability[kExperts];
shared ivec4 keys[kKeys];  // of what is past the last expert: less than any
shared uint ranks[kExperts];
shared uint ids[QM_MOST_USED];
shared float chosen[QM_MOST_USED];

void softmax() {
    uint t = gl_LocalInvocationIndex;
    float most = router_logits[0];
    for (uint i = t; i < kExperts; i += kThreads) most = qm_max(router_logits[i], most);
    most = block_max(most);
    vec4 partial = vec4(0.0f);
    for (uint first = t; first < kExperts; first += 256u)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = first + kThreads * j;
            if (i >= kExperts) continue;
            probability[i] = qm_probability(router_logits[i], most);
            partial[j] = qm_add(partial[j], probability[i]);
        }
    float inverse = qm_recip(tree256(partial));
    for (uint i = t; i < 4u * kKeys; i += kThreads) {
        int key = -1;
        if (i < kExperts) {
            probability[i] = qm_mul(probability[i], inverse);
            key = int(qm_rank_key(probability[i]));
        }
        keys[i / 4u][i & 3u] = key;
    }
    barrier();
}

// An expert's rank is the number of those before it: with a larger key, or the same and a lower index. Where there are
// threads to spare several count for each.
const uint kParts = kThreads > 2u * kExperts ? 4u : (kThreads > kExperts ? 2u : 1u);

void choose(uint used) {
    for (uint i = gl_LocalInvocationIndex; i < kExperts; i += kThreads) ranks[i] = 0u;
    softmax();
    for (uint i = gl_LocalInvocationIndex; i < kParts * kExperts; i += kThreads) {
        uint own = i / kParts, rank = 0u;
        int key = keys[own / 4u][own & 3u];
        [[dont_unroll]] for (uint q = i % kParts; q < kKeys; q += kParts) {
            ivec4 other = keys[q];
            [[unroll]] for (uint j = 0u; j < 4u; j++) rank += other[j] > (4u * q + j < own ? key - 1 : key) ? 1u : 0u;
        }
        atomicAdd(ranks[own], rank);
    }
    barrier();
    for (uint own = gl_LocalInvocationIndex; own < kExperts; own += kThreads)
        if (ranks[own] < used) {
            ids[ranks[own]] = own;
            chosen[ranks[own]] = probability[own];
        }
    barrier();
}

// What the sum of experts gives the one of a rank.
float chosen_weight(TopkParams p, uint rank) {
    if (p.renormalise == 0u) return chosen[rank];
    float sum = 0.0f;
    for (uint r = 0u; r < p.used; r++) sum = qm_add(sum, chosen[r]);
    return qm_mul(chosen[rank], qm_recip(sum));
}
