#version 460
// The rows whose logits are wanted.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { NormParams p; };
layout(binding = 0) readonly buffer Residual { float residual[]; };
layout(binding = 1) readonly buffer Wanted { uint wanted[]; };
layout(binding = 2) writeonly buffer Selected { float selected[]; };

void main() {
    uint from = wanted[gl_WorkGroupID.x] * p.width, to = gl_WorkGroupID.x * p.width;
    for (uint i = gl_LocalInvocationIndex; i < p.width; i += 256u) selected[to + i] = residual[from + i];
}
