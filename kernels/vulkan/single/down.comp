#version 460
// The down projections of the chosen experts, weighted, summed in rank order and added to the residual. The items of a
// row are the blocks of all its experts, one expert after the other.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/input.glsl"
#include "vulkan/single/tiles.glsl"

layout(push_constant) uniform Constants { DownConstants c; };
layout(binding = 0) readonly buffer Swiglu { vec4 swiglu[]; };  // [used][ff]
layout(binding = 1) readonly buffer Ids { uint in_ids[]; };
layout(binding = 2) readonly buffer Weights { float in_weights[]; };
layout(binding = 3) buffer Residual { float residual[]; };

shared uint ids[QM_MOST_USED];
shared float weights[QM_MOST_USED];

uint first_row;    // of the tile at hand
float sum, total;  // of the row of the tile that this thread makes: of an expert, of all

uint blocks_of_expert() { return (c.p.ff + 255u) / 256u; }
WeightAddress matrix_of(uint row) { return c.w; }
uint columns_of_row() { return c.p.ff; }
uint row_of(uint row, uint item) {
    return ids[item / blocks_of_expert()] * c.p.width + min(first_row + row, c.p.width - 1u);
}
uint block_of(uint item) { return item % blocks_of_expert(); }

void take_tile(uint tile) {
    first_row = tile * kTileRows;
    sum = total = 0.0f;
}

void prepare() {
    vec4 x[kRounds];
    [[unroll]] for (uint r = 0u; r < kRounds; r++) {
        uint block = input_block(r), column = 256u * block_of(block) + 4u * input_quad();
        bool inside = block < kBlocks && column < c.p.ff;
        x[r] = inside ? swiglu[(block / blocks_of_expert() * c.p.ff + column) / 4u] : vec4(0.0f);
    }
    clear_input();
    barrier();
    make_input(x);
}

void add_terms(uint first, uint count) {
    if (gl_LocalInvocationIndex >= kTileRows) return;
    for (uint i = 0u; i < count; i++) {
        uint block = block_of(first + i), rank = (first + i) / blocks_of_expert();
        sum = qm_add(block == 0u ? 0.0f : sum, term_at(gl_LocalInvocationIndex, i));
        if (block + 1u == blocks_of_expert())
            total = rank == 0u ? qm_mul(weights[0], sum) : qm_mul_add(weights[rank], sum, total);
    }
}

void put_tile() {
    uint row = first_row + gl_LocalInvocationIndex;
    if (gl_LocalInvocationIndex < kTileRows && row < c.p.width) residual[row] = qm_add(residual[row], total);
}

void main() {
    if (gl_LocalInvocationIndex < c.p.used) {
        ids[gl_LocalInvocationIndex] = in_ids[gl_LocalInvocationIndex];
        weights[gl_LocalInvocationIndex] = in_weights[gl_LocalInvocationIndex];
    }
    barrier();
    run_tiles(c.tiles);
}
