// The largest logit that the threads of a workgroup have found, the first among equals, as its key and its token. Every
// thread gets it.
#include "vulkan/threads.glsl"

shared uvec2 largest_first[kThreads];
shared uvec2 largest_second[16];

uvec2 first_of(uvec2 a, uvec2 b) { return b.x > a.x || (b.x == a.x && b.y < a.y) ? b : a; }

uvec2 block_largest(uvec2 own) {
    uint t = gl_LocalInvocationIndex;
    largest_first[t] = own;
    barrier();
    if (t < 16u) {
        for (uint j = t + 16u; j < kThreads; j += 16u) own = first_of(own, largest_first[j]);
        largest_second[t] = own;
    }
    barrier();
    own = largest_second[0];
    [[unroll]] for (uint j = 1u; j < 16u; j++) own = first_of(own, largest_second[j]);
    return own;
}
