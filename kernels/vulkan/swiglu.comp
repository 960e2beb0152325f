#version 460
// silu(gate) * up for every slot, as floats and as X16: 64 threads for each block of 256.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#define ACTIVATIONS 2
#include "vulkan/quantise.glsl"

layout(push_constant) uniform Constants { SwigluParams p; };
layout(binding = 0) readonly buffer Gate { float gate[]; };
layout(binding = 1) readonly buffer Up { float up[]; };

void main() {
    uint blocks = (p.ff + 255u) / 256u;
    for (uint first = kQuantised * gl_WorkGroupID.x; first < p.rows * blocks;
         first += kQuantised * gl_NumWorkGroups.x) {
        uint item = first + quantise_block();
        uint row = item / blocks, block = item % blocks;
        uint column = 256u * block + quantise_column();
        vec4 y = vec4(0.0f);
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (row < p.rows && column + i < p.ff) {
                uint at = row * p.ff + column + i;
                y[i] = qm_swiglu(gate[at], up[at]);
            }
        make_block(y, row < p.rows, p.ff, row, block);
    }
}
