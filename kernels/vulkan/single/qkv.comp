#version 460
// RMSNorm and the projections of Q, K and V, or those of them that are of one type.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/norm_input.glsl"
#include "vulkan/single/matrices.glsl"

layout(push_constant) uniform Constants { NormMatricesConstants c; };
layout(binding = 1) writeonly buffer Products { float products[]; };

void prepare() { norm_input(c.norm); }
void begin(uint at) {}
void put(uint at, float value) { products[at] = value; }

void main() {
    of = c.of;
    run_tiles(of.tiles);
}
