#version 460
// Raises a flag where a value is not finite.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { FiniteParams p; };
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Flags { uint flags[]; };

void main() {
    bool found = false;
    for (uint i = gl_GlobalInvocationID.x; i < p.count; i += 256u * gl_NumWorkGroups.x)
        found = found || qm_abs_bits(x[i]) >= QM_INFINITY_BITS;
    if (found) flags[p.flag] = 1u;
}
