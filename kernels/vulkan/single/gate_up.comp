#version 460
// RMSNorm, the choice of experts, their gate and up projections and SwiGLU. Rows of gate and of up take turns in a
// tile.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/choose.glsl"
#include "vulkan/single/norm_input.glsl"
#include "vulkan/single/tiles.glsl"

layout(push_constant) uniform Constants { GateUpConstants c; };
layout(binding = 2) writeonly buffer Ids { uint out_ids[]; };
layout(binding = 3) writeonly buffer Weights { float out_weights[]; };
layout(binding = 4) writeonly buffer Swiglu { float swiglu[]; };  // [used][ff]

const uint kElements = kTileRows / 2u;

uint rank, first_element;  // of the tile at hand: the expert's, and the first of its elements
float gate, up;            // of the element that this thread makes

WeightAddress matrix_of(uint row) {
    if ((row & 1u) == 0u) return c.gate;
    return c.up;
}
uint columns_of_row() { return c.norm.p.width; }
uint row_of(uint row, uint item) {
    return ids[rank] * c.ff + min(first_element + row / 2u, c.ff - 1u);
}
uint block_of(uint item) { return item; }

void take_tile(uint tile) {
    uint of_expert = (c.ff + kElements - 1u) / kElements;
    rank = tile / of_expert;
    first_element = tile % of_expert * kElements;
    gate = up = 0.0f;
}

void prepare() {
    if (gl_WorkGroupID.x == 0u && gl_LocalInvocationIndex < c.topk.used) {
        out_ids[gl_LocalInvocationIndex] = ids[gl_LocalInvocationIndex];
        out_weights[gl_LocalInvocationIndex] = chosen_weight(c.topk, gl_LocalInvocationIndex);
    }
    norm_input(c.norm);
}

void add_terms(uint first, uint count) {
    uint row = 2u * gl_LocalInvocationIndex;
    if (row < kTileRows)
        for (uint i = 0u; i < count; i++) {
            gate = qm_add(gate, term_at(row, i));
            up = qm_add(up, term_at(row + 1u, i));
        }
}

void put_tile() {
    uint element = first_element + gl_LocalInvocationIndex;
    if (gl_LocalInvocationIndex < kElements && element < c.ff) swiglu[rank * c.ff + element] = qm_swiglu(gate, up);
}

void main() {
    choose(c.topk.used);
    run_tiles(c.tiles);
}
