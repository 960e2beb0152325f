#version 460
// The down projections of the chosen experts, weighted, summed in rank order and added to the residual. The items of a
// row are the blocks of all its experts, one expert after the other.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/rows_input.glsl"
#include "vulkan/single/tiles.glsl"

layout(push_constant) uniform Constants { DownConstants c; };
layout(binding = 0) readonly buffer Swiglu { vec4 swiglu[]; };  // [used][ff]
layout(binding = 1) readonly buffer Ids { uint in_ids[]; };
layout(binding = 2) readonly buffer Weights { float in_weights[]; };
layout(binding = 3) buffer Residual { float residual[]; };

// Of an item: the first row of its expert's matrix, and its block of a row.
shared uvec2 places[kBlocks];
shared float weights[QM_MOST_USED];

uint first_row;              // of the tile at hand
uint rank;                   // of the row of the tile that this thread makes: the expert that it is at,
float sum, total, residual0;  // that one's sum, the sum of those before, and what they are added to

uint blocks_of_expert() { return (c.p.ff + 255u) / 256u; }
WeightAddress matrix_of(uint row) { return c.w; }
uint columns_of_row() { return c.p.ff; }
uint row_of(uint row, uint item) {
    return places[item].x + min(first_row + row, c.p.width - 1u);
}
uint block_of(uint item) { return places[item].y; }

void take_tile(uint tile) {
    first_row = tile * kTileRows;
    rank = 0u;
    sum = total = 0.0f;
    residual0 = residual[min(first_row + gl_LocalInvocationIndex, c.p.width - 1u)];
}

vec4 input_at(uint block, uint quad) {
    uint expert = block / blocks_of_expert(), column = 256u * (block % blocks_of_expert()) + 4u * quad;
    return block < kBlocks && column < c.p.ff ? swiglu[(expert * c.p.ff + column) / 4u] : vec4(0.0f);
}
void prepare() { rows_input(); }

void add_terms(uint first, uint count) {
    if (gl_LocalInvocationIndex >= kTileRows) return;
    uint of_expert = blocks_of_expert();
    for (uint i = 0u; i < count; i++) {
        sum = qm_add(sum, term_at(gl_LocalInvocationIndex, i));
        if (block_of(first + i) + 1u < of_expert) continue;
        total = rank == 0u ? qm_mul(weights[0], sum) : qm_mul_add(weights[rank], sum, total);
        sum = 0.0f;
        rank++;
    }
}

void put_tile() {
    uint row = first_row + gl_LocalInvocationIndex;
    if (gl_LocalInvocationIndex < kTileRows && row < c.p.width) residual[row] = qm_add(residual0, total);
}

void main() {
    uint of_expert = blocks_of_expert();
    for (uint i = gl_LocalInvocationIndex; i < kBlocks; i += kThreads)
        places[i] = uvec2(in_ids[i / of_expert] * c.p.width, i % of_expert);
    if (gl_LocalInvocationIndex < c.p.used) weights[gl_LocalInvocationIndex] = in_weights[gl_LocalInvocationIndex];
    barrier();
    run_tiles(c.tiles);
}
