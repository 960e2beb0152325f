#version 460
// RMSNorm of the residual, as floats and as X16: a workgroup for each row.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#define ACTIVATIONS 1
#include "vulkan/quantise.glsl"
#include "vulkan/tree256.glsl"

layout(push_constant) uniform Constants { NormConstants c; };
layout(binding = 0) readonly buffer X { float x[]; };

void main() {
    uint row = gl_WorkGroupID.x, width = c.p.width;
    Floats weight = Floats(address(c.weight));
    vec4 squares = vec4(0.0f);
    for (uint first = gl_LocalInvocationIndex; first < width; first += 256u)
        [[unroll]] for (uint j = 0u; j < kShare; j++) {
            uint i = first + kThreads * j;
            float value = i < width ? x[row * width + i] : 0.0f;
            squares[j] = qm_mul_add(value, value, squares[j]);
        }
    float factor = qm_norm_factor(qm_settle(tree256(squares)), c.p.inverse_width, c.p.eps);

    uint blocks = (width + 255u) / 256u;
    for (uint first = 0u; first < blocks; first += kQuantised) {
        uint block = first + quantise_block();
        uint column = 256u * block + quantise_column();
        vec4 y = vec4(0.0f);
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (column + i < width) y[i] = qm_norm(x[row * width + column + i], factor, weight.at[column + i]);
        make_block(y, block < blocks, width, row, block);
    }
}
