#version 460
// F32, F16 and BF16 weights, each product a dot256: a workgroup makes one row of its slots, a thread for each partial
// sum, four slots at a time.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/tree.glsl"

layout(local_size_x = 256) in;

const uint kSlots = 4u;

void multiply(Slots slots, JobTile rows) {
    DotJob job = p.jobs[rows.job];
    uint from = (slots.expert * job.rows + rows.first) * p.columns;
    for (uint s0 = 0u; s0 < slots.count; s0 += kSlots) {
        uint x[kSlots];
        float sums[kSlots];
        [[unroll]] for (uint s = 0u; s < kSlots; s++) {
            x[s] = input_of(slot_at(slots, s0 + s < slots.count ? s0 + s : s0)) * p.columns;
            sums[s] = 0.0f;
        }
        for (uint i = gl_LocalInvocationIndex; i < p.columns; i += 256u) {
            float w = float_at(job.w, from + i);
            [[unroll]] for (uint s = 0u; s < kSlots; s++)
                if (s0 + s < slots.count) sums[s] = qm_mul_add(w, in_values[x[s] + i], sums[s]);
        }
        [[unroll]] for (uint s = 0u; s < kSlots; s++) {
            if (s0 + s < slots.count) {
                float sum = qm_settle(tree256(sums[s]));
                if (gl_LocalInvocationIndex == 0u) put(rows.job, slot_at(slots, s0 + s), rows.first, sum);
            }
        }
    }
}

void main() {
    for (uint tile = gl_WorkGroupID.y; tile < p.tiles; tile += gl_NumWorkGroups.y)
        for (uint rows = gl_WorkGroupID.x; rows < p.row_tiles; rows += gl_NumWorkGroups.x)
            multiply(slots_of(tile), job_tile(rows, 1u));
}
