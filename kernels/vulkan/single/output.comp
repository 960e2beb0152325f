#version 460
// The output projection, added to the residual.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/rows_input.glsl"
#include "vulkan/single/matrices.glsl"

layout(push_constant) uniform Constants { MatricesParams c; };
layout(binding = 0) readonly buffer Attention { vec4 attention[]; };
layout(binding = 1) buffer Residual { float residual[]; };

vec4 input_at(uint block, uint quad) {
    uint at = 64u * block + quad;
    return 4u * at < c.columns ? attention[at] : vec4(0.0f);
}
void prepare() { rows_input(); }

float before;

void begin(uint at) { before = residual[at]; }
void put(uint at, float value) { residual[at] = qm_add(before, value); }

void main() {
    of = c;
    run_tiles(of.tiles);
}
