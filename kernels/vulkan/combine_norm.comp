#version 460
// combine, and the norm that follows it: a workgroup for each token. One dispatch less between two layers.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#define ACTIVATIONS 4
#include "vulkan/combine.glsl"
#include "vulkan/norm.glsl"

layout(push_constant) uniform Constants { CombineNormConstants c; };

float x_at(uint column) { return residual[gl_WorkGroupID.x * c.combine.width + column]; }

void main() {
    for (uint i = gl_LocalInvocationIndex; i < c.combine.width; i += kThreads) combine(c.combine, gl_WorkGroupID.x, i);
    memoryBarrierBuffer();
    barrier();
    norm_row(c.norm.p, c.norm.weight, gl_WorkGroupID.x);
}
