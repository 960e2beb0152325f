#version 460
// RMSNorm of the residual: a workgroup for each row.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#define ACTIVATIONS 1
#include "vulkan/norm.glsl"

layout(push_constant) uniform Constants { NormConstants c; };
layout(binding = 0) readonly buffer X { float x[]; };

float x_at(uint column) { return x[gl_WorkGroupID.x * c.p.width + column]; }

void main() { norm_row(c.p, c.weight, gl_WorkGroupID.x); }
