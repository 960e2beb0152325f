#version 460
// Softmax over all experts; the `used` most probable, lower index first among equals; their weights. A workgroup for
// each token. An expert's rank is the number of those before it: every thread counts for experts of its own.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/max256.glsl"
#include "vulkan/tree256.glsl"

layout(push_constant) uniform Constants { TopkParams p; };
layout(binding = 0) readonly buffer Logits { float logits[]; };
layout(binding = 1) coherent buffer Probabilities { float probabilities[]; };
layout(binding = 2) writeonly buffer Ids { uint ids[]; };
layout(binding = 3) coherent buffer Weights { float weights[]; };

shared uint keys[kThreads];

void softmax(uint row) {
    float most = logits[row];
    for (uint i = gl_LocalInvocationIndex; i < p.experts; i += kThreads) most = qm_max(logits[row + i], most);
    most = block_max(most);
    vec4 partial = vec4(0.0f);
    for (uint first = gl_LocalInvocationIndex; first < p.experts; first += 256u)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = first + kThreads * j;
            if (i < p.experts) partial[j] = qm_add(partial[j], qm_probability(logits[row + i], most));
        }
    float inverse = qm_recip(tree256(partial));
    for (uint i = gl_LocalInvocationIndex; i < p.experts; i += kThreads)
        probabilities[row + i] = qm_mul(qm_probability(logits[row + i], most), inverse);
    memoryBarrierBuffer();
    barrier();
}

void main() {
    uint row = gl_WorkGroupID.x * p.experts, chosen = gl_WorkGroupID.x * p.used;
    softmax(row);
    for (uint first = 0u; first < p.experts; first += kThreads) {
        uint own = first + gl_LocalInvocationIndex;
        float probability = own < p.experts ? probabilities[row + own] : 0.0f;
        uint key = qm_rank_key(probability);
        uint rank = 0u;
        for (uint from = 0u; from < p.experts; from += kThreads) {
            uint other = from + gl_LocalInvocationIndex;
            barrier();
            keys[gl_LocalInvocationIndex] = other < p.experts ? qm_rank_key(probabilities[row + other]) : 0u;
            barrier();
            uint count = min(kThreads, p.experts - from);
            for (uint j = 0u; j < count; j++)
                rank += keys[j] > key || (keys[j] == key && from + j < own) ? 1u : 0u;
        }
        if (own < p.experts && rank < p.used) {
            ids[chosen + rank] = own;
            weights[chosen + rank] = probability;
        }
    }
    if (p.renormalise == 0u) return;
    memoryBarrierBuffer();
    barrier();
    float sum = 0.0f;
    for (uint rank = 0u; rank < p.used; rank++) sum = qm_add(sum, weights[chosen + rank]);
    float inverse = qm_recip(sum);
    barrier();
    for (uint rank = gl_LocalInvocationIndex; rank < p.used; rank += kThreads)
        weights[chosen + rank] = qm_mul(weights[chosen + rank], inverse);
}
