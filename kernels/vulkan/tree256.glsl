// The halving tree over 256 partial sums by a workgroup: of each thread its share of them. Every thread gets the sum.
#ifndef QWEN3MOE_VULKAN_TREE256
#define QWEN3MOE_VULKAN_TREE256

#include "vulkan/threads.glsl"
#include "vulkan/tree.glsl"

shared float tree_first[kThreads];
shared float tree_second[16];

// With 64 threads the first two steps are within a thread; of the next, 16 threads do all but four; those all do.
float tree256(vec4 share) {
    uint t = gl_LocalInvocationIndex;
    tree_first[t] = kShare == 4u ? qm_sum4(share.x, share.y, share.z, share.w) : share.x;
    barrier();
    float p[16];
    if (t < 16u) {
        if (kShare == 4u) {
            tree_second[t] = qm_sum4(tree_first[t], tree_first[t + 16u], tree_first[t + 32u], tree_first[t + 48u]);
        } else {
            [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = tree_first[t + 16u * j];
            tree_second[t] = tree16(p);
        }
    }
    barrier();
    [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = tree_second[j];
    return tree16(p);
}

#endif
