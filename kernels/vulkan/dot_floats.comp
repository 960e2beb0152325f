#version 460
// F32, F16 and BF16 weights, each product a dot256: 64 threads have four of its partial sums each, so that the tree's
// first steps need no one else. For few slots a workgroup makes one row; for many, two rows of four slots at a time.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/tree.glsl"

layout(local_size_x = 64) in;

const uint kRows = QM_FLOAT_ROWS;
const uint kSlots = 4u;
const uint kLoads = 4u;  // strides of 256 columns that are on their way at a time

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
    for (uint s0 = 0u; s0 < slots.count; s0 += kSlots) {
        uint count = min(kSlots, slots.count - s0);
        uint x[kSlots];
        [[unroll]] for (uint s = 0u; s < kSlots; s++)
            x[s] = input_of(slot_at(slots, s0 + min(s, count - 1u))) * p.columns;
        [[unroll]] for (uint r = 0u; r < kRows; r++) {
            if (r >= rows) continue;
            vec4 sums[kSlots];
            [[unroll]] for (uint s = 0u; s < kSlots; s++) sums[s] = vec4(0.0f);
            for (uint base = 0u; base < p.columns; base += kLoads * 256u) {
                vec4 w[kLoads];
                [[unroll]] for (uint m = 0u; m < kLoads; m++) {
                    if (base + 256u * m >= p.columns) continue;
                    [[unroll]] for (uint j = 0u; j < 4u; j++) {
                        uint i = min(base + 256u * m + 64u * j + t, p.columns - 1u);
                        w[m][j] = float_at(job.w, from + r * p.columns + i);
                    }
                }
                [[unroll]] for (uint m = 0u; m < kLoads; m++) {
                    if (base + 256u * m >= p.columns) continue;
                    [[unroll]] for (uint j = 0u; j < 4u; j++) {
                        uint i = base + 256u * m + 64u * j + t;
                        [[unroll]] for (uint s = 0u; s < kSlots; s++)
                            if (s < count && i < p.columns)
                                sums[s][j] = qm_mul_add(w[m][j], in_values[x[s] + i], sums[s][j]);
                    }
                }
            }
            [[unroll]] for (uint s = 0u; s < kSlots; s++)
                if (s < count) partial[(r * count + s) * 64u + t] = qm_sum4(sums[s].x, sums[s].y, sums[s].z, sums[s].w);
        }
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
