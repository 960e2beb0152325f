#version 460
// RMSNorm and one score per expert: a workgroup for each expert, whose product is a dot256.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/norm_factor.glsl"
#include "vulkan/unpack.glsl"

layout(push_constant) uniform Constants { RouterConstants c; };
layout(binding = 0) readonly buffer Residual { float residual[]; };
layout(binding = 1) writeonly buffer Logits { float logits[]; };

float x_at(uint column) { return residual[column]; }

void main() {
    Floats scale = Floats(address(c.norm.weight));
    const uint width = c.norm.p.width, row = gl_WorkGroupID.x * width, t = gl_LocalInvocationIndex;
    // The first strides of 256 are on their way before the norm is made.
    vec4 weights[kLoads], scales[kLoads];
    [[unroll]] for (uint m = 0u; m < kLoads; m++)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = min(256u * m + kThreads * j + t, width - 1u);
            weights[m][j] = float_at(c.w, row + i);
            scales[m][j] = scale.at[i];
        }
    float factor = norm_factor(c.norm.p);
    vec4 sums = vec4(0.0f);
    [[unroll]] for (uint m = 0u; m < kLoads; m++)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = 256u * m + kThreads * j + t;
            if (i < width) sums[j] = qm_mul_add(weights[m][j], qm_norm(x_at(i), factor, scales[m][j]), sums[j]);
        }
    for (uint first = 256u * kLoads; first < width; first += 256u)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = first + kThreads * j + t;
            if (i < width)
                sums[j] = qm_mul_add(float_at(c.w, row + i), qm_norm(x_at(i), factor, scale.at[i]), sums[j]);
        }
    float sum = qm_settle(tree256(sums));
    if (t == 0u) logits[gl_WorkGroupID.x] = sum;
}
