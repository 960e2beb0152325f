#version 460
// The output projection, added to the residual.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/input.glsl"
#include "vulkan/single/matrices.glsl"

layout(push_constant) uniform Constants { MatricesParams c; };
layout(binding = 0) readonly buffer Attention { vec4 attention[]; };
layout(binding = 1) buffer Residual { float residual[]; };

void prepare() {
    vec4 x[kRounds];
    [[unroll]] for (uint r = 0u; r < kRounds; r++) {
        uint quad = 64u * input_block(r) + input_quad();
        x[r] = 4u * quad < c.columns ? attention[quad] : vec4(0.0f);
    }
    clear_input();
    barrier();
    make_input(x);
}

float before;

void begin(uint at) { before = residual[at]; }
void put(uint at, float value) { residual[at] = qm_add(before, value); }

void main() {
    of = c;
    run_tiles(of.tiles);
}
