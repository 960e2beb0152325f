#version 460
// Slot by slot, a tile of rows at a time.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/rows.glsl"

// What is at hand: a job, the rows of its tile in a slot's matrix, and the slot's activations.
DotJob job;
uint matrix, first_row, x_block;

WeightAddress matrix_of(uint row) { return job.w; }
uint columns_of_row() { return p.columns; }
uint row_of(uint row, uint item) { return matrix + min(first_row + row, job.rows - 1u); }
uint block_of(uint item) { return item; }
uvec4 x_digits(uint item, uint digit, uint run) { return in_digits[(x_block + item) * 32u + 16u * digit + run]; }
int x_sum(uint item, uint run) { return in_sums[(x_block + item) * 16u + run]; }
float x_scale(uint item) { return in_scale[x_block + item]; }

void multiply(Slots slots, JobTile rows) {
    uint t = gl_LocalInvocationIndex, blocks = blocks_of_row();
    job = p.jobs[rows.job];
    matrix = slots.expert * job.rows;
    first_row = rows.first;
    x_block = input_of(slots.first) * blocks;
    float sum = 0.0f;
    for (uint first = 0u; first < blocks; first += kSpan) {
        make_terms(load_items(first, blocks), first, blocks);
        uint here = min(kSpan, blocks - first);
        if (t < kTileRows)
            for (uint i = 0u; i < here; i++) sum = qm_add(sum, term_at(t, i));
    }
    if (t < kTileRows && first_row + t < job.rows) put(rows.job, slots.first, first_row + t, sum);
}

void main() {
    for (uint tile = gl_WorkGroupID.y; tile < p.tiles; tile += gl_NumWorkGroups.y)
        for (uint rows = gl_WorkGroupID.x; rows < p.row_tiles; rows += gl_NumWorkGroups.x)
            multiply(slots_of(tile), job_tile(rows, kTileRows));
}
