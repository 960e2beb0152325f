#version 460
// F32, F16 and BF16 weights, each product a dot256: 64 threads have four of its partial sums each, so that the tree's
// first steps need no one else. For few slots a workgroup makes one row; for many, two rows of four slots at a time,
// and those of a tile side by side.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/tree.glsl"

layout(local_size_x = 64) in;

const uint kRows = QM_FLOAT_ROWS;
const uint kSlots = QM_FLOAT_SLOTS;

shared float partial[kRows * kSlots * 64u];
shared float sixteenth[kRows * kSlots * 16u];

// The rest of the trees of `pairs` products, whose 64 sums each lie in `partial`; thread i < pairs has that of pair i.
float finish(uint pairs) {
    uint t = gl_LocalInvocationIndex;
    barrier();
    for (uint i = t; i < 16u * pairs; i += 64u) {
        uint at = i / 16u * 64u + i % 16u;
        sixteenth[i] = qm_sum4(partial[at], partial[at + 16u], partial[at + 32u], partial[at + 48u]);
    }
    barrier();
    float p[16];
    [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = sixteenth[16u * min(t, pairs - 1u) + j];
    return qm_settle(tree16(p));
}

void multiply(Slots slots, JobTile tile, uint tile_rows) {
    DotJob job = p.jobs[tile.job];
    uint t = gl_LocalInvocationIndex, rows = min(tile_rows, job.rows - tile.first);
    uint from = (slots.expert * job.rows + tile.first) * p.columns;
    for (uint s0 = kSlots * gl_WorkGroupID.z; s0 < slots.count; s0 += kSlots * gl_NumWorkGroups.z) {
        uint count = min(kSlots, slots.count - s0);
        uint x[kSlots];
        [[unroll]] for (uint s = 0u; s < kSlots; s++)
            x[s] = input_of(slot_at(slots, s0 + min(s, count - 1u))) * p.columns;
        vec4 sums[kRows][kSlots];
        [[unroll]] for (uint r = 0u; r < kRows; r++)
            [[unroll]] for (uint s = 0u; s < kSlots; s++) sums[r][s] = vec4(0.0f);
        for (uint first = t; first < p.columns; first += 256u) {
            vec4 w[kRows], x_here[kSlots];
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                uint i = min(first + 64u * j, p.columns - 1u);
                [[unroll]] for (uint r = 0u; r < kRows; r++)
                    w[r][j] = r < rows ? float_at(job.w, from + r * p.columns + i) : 0.0f;
                [[unroll]] for (uint s = 0u; s < kSlots; s++) x_here[s][j] = s < count ? in_values[x[s] + i] : 0.0f;
            }
            [[unroll]] for (uint j = 0u; j < 4u; j++)
                if (first + 64u * j < p.columns)
                    [[unroll]] for (uint r = 0u; r < kRows; r++)
                        [[unroll]] for (uint s = 0u; s < kSlots; s++)
                            sums[r][s][j] = qm_mul_add(w[r][j], x_here[s][j], sums[r][s][j]);
        }
        [[unroll]] for (uint r = 0u; r < kRows; r++)
            [[unroll]] for (uint s = 0u; s < kSlots; s++)
                if (r < rows && s < count)
                    partial[(r * count + s) * 64u + t] =
                        qm_sum4(sums[r][s].x, sums[r][s].y, sums[r][s].z, sums[r][s].w);
        float sum = finish(rows * count);
        if (t < rows * count) put(tile.job, slot_at(slots, s0 + t % count), tile.first + t / count, sum);
        barrier();
    }
}

void main() {
    uint tile_rows = in_ways(QM_DOT_TILED) ? kRows : 1u;
    for (uint tile = gl_WorkGroupID.y; tile < p.tiles; tile += gl_NumWorkGroups.y)
        for (uint rows = gl_WorkGroupID.x; rows < p.row_tiles; rows += gl_NumWorkGroups.x)
            multiply(slots_of(tile), job_tile(rows, tile_rows), tile_rows);
}
