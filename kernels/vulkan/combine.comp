#version 460
// A thread for each element.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/combine.glsl"

layout(local_size_x = 128) in;
layout(push_constant) uniform Constants { CombineParams p; };

void main() {
    if (gl_GlobalInvocationID.x < p.width) combine(p, gl_WorkGroupID.y, gl_GlobalInvocationID.x);
}
