// The largest of a value of every thread of a workgroup. Every thread gets it.
#include "vulkan/threads.glsl"

shared float maxima[kThreads];
shared float first_maxima[16];

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
