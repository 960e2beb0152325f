#version 460
// Hashes of the arithmetic on a Vulkan device: the self-test, or a function over a run of inputs.
#extension GL_GOOGLE_include_directive : require
#include "shared/selftest.h"

layout(local_size_x = 64) in;
layout(push_constant) uniform Params { HashParams params; };
layout(binding = 0) buffer Sum { QmHash sum; };

void main() {
    QmHash hash = QmHash(0u, 0u);
    uint threads = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    for (uint i = gl_GlobalInvocationID.x; i < params.count; i += threads)
        hash = qm_hash_item(hash, params.function, params.first + i);
    atomicAdd(sum.low, hash.low);
    atomicAdd(sum.high, hash.high);
}
