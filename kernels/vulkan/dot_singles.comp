#version 460
// Slot by slot: eight threads hold a block of 256 weights, a part each, of four rows. The blocks of a row lie side by
// side (at most QM_SPAN, then the next stride of them); short rows leave room for several sets of four rows. Integer
// sums meet through shared memory, in any order; then one thread makes each block's float, and one adds each row's.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/dot4.glsl"

layout(constant_id = 3) const uint kSpan = 8u;  // qm_span of the blocks of a row
const uint kSets = QM_SPAN / kSpan;
const uint kThreads = 8u * QM_SPAN;
const uint kRows = QM_SET_ROWS;
const uint kStride = kThreads + QM_SPAN;  // a word between groups of eight keeps their readers in different banks

layout(local_size_x = 128) in;

shared int high_digits[kRows * kStride];
shared int low_digits[kRows * kStride];
shared int minima[kRows * kStride];
shared float groups[kRows * kStride];
shared float terms[QM_SPAN * kRows];

uint cell(uint row, uint group, uint k) { return row * kStride + group * 9u + k; }

int sum_of(uint row, uint group, bool high) {
    int sum = 0;
    [[unroll]] for (uint k = 0u; k < 8u; k++)
        sum += high ? high_digits[cell(row, group, k)] : low_digits[cell(row, group, k)];
    return sum;
}

// What one block adds to one row.
float term_of(uint row, uint group, vec2 factors, float dx) {
    if (!kSuper) {
        float g[8];
        [[unroll]] for (uint k = 0u; k < 8u; k++) g[k] = groups[cell(row, group, k)];
        return qm_term32(dx, qm_sum8(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
    }
    int high = sum_of(row, group, true), low = sum_of(row, group, false);
    if (!kMin) return qm_term(factors.x, dx, high, low);
    int M = 0;
    [[unroll]] for (uint k = 0u; k < 8u; k++) M += minima[cell(row, group, k)];
    return qm_term_min(factors.x, factors.y, dx, high, low, M);
}

void multiply(Slots slots, JobTile rows) {
    DotJob job = p.jobs[rows.job];
    const uint blocks = blocks_of_row();
    const uint t = gl_LocalInvocationIndex, group = t / 8u, k = t & 7u;
    const uint last = job.rows - 1u, matrix = slots.expert * job.rows;
    const uint x_block = input_of(slots.first) * blocks;
    const uint set = min(group / kSpan, kSets - 1u);  // groups beyond the sets do work that is not used
    // The block and row whose float this thread makes, if it is one of the first 64; then the row it adds up.
    const uint term_group = (t / kRows) % QM_SPAN, own = t % kRows;
    const uint term_row = matrix + min(rows.first + min(term_group / kSpan, kSets - 1u) * kRows + own, last);

    float sum = 0.0f;
    for (uint first = 0u; first < blocks; first += kSpan) {
        uint block = min(first + group % kSpan, blocks - 1u);
        uint term_block = min(first + term_group % kSpan, blocks - 1u);
        Part parts[kRows];
        [[unroll]] for (uint r = 0u; r < kRows; r++)
            parts[r] = part_of(job.w, p.columns, matrix + min(rows.first + set * kRows + r, last), block, k);
        vec2 factors = kSuper ? factors_of(job.w, p.columns, term_row, term_block) : vec2(0.0f);
        float dx = in_scale[x_block + term_block];

        uvec4 x_high[2], x_low[2];
        int x_sum[2];
        [[unroll]] for (uint i = 0u; i < 2u; i++) {
            uint run = run_of(k, i);
            x_high[i] = in_digits[(x_block + block) * 32u + run];
            x_low[i] = in_digits[(x_block + block) * 32u + 16u + run];
            x_sum[i] = kMin ? in_sums[(x_block + block) * 16u + run] : 0;
        }
        [[unroll]] for (uint r = 0u; r < kRows; r++) {
            ivec2 high = ivec2(dot16(parts[r].q[0], x_high[0]), dot16(parts[r].q[1], x_high[1]));
            ivec2 low = ivec2(dot16(parts[r].q[0], x_low[0]), dot16(parts[r].q[1], x_low[1]));
            uint at = cell(r, group, k);
            if (kSuper) {
                high *= parts[r].scale;
                low *= parts[r].scale;
                high_digits[at] = high.x + high.y;
                low_digits[at] = low.x + low.y;
                if (kMin) minima[at] = parts[r].minimum.x * x_sum[0] + parts[r].minimum.y * x_sum[1];
            } else if (8u * block + k >= p.columns / 32u) {
                groups[at] = 0.0f;
            } else if (kMin) {
                groups[at] =
                    qm_group_min(parts[r].d, parts[r].dmin, high.x + high.y, low.x + low.y, x_sum[0] + x_sum[1]);
            } else {
                groups[at] = qm_group(parts[r].d, high.x + high.y, low.x + low.y);
            }
        }
        barrier();
        if (t < QM_SPAN * kRows) terms[t] = term_of(own, term_group, factors, dx);
        barrier();
        uint here = min(kSpan, blocks - first);
        if (t < kSets * kRows)
            for (uint i = 0u; i < here; i++) sum = qm_add(sum, terms[(t / kRows * kSpan + i) * kRows + own]);
    }
    if (t < kSets * kRows && rows.first + t < job.rows) put(rows.job, slots.first, rows.first + t, sum);
}

void main() {
    for (uint tile = gl_WorkGroupID.y; tile < p.tiles; tile += gl_NumWorkGroups.y)
        for (uint rows = gl_WorkGroupID.x; rows < p.row_tiles; rows += gl_NumWorkGroups.x)
            multiply(slots_of(tile), job_tile(rows, kSets * kRows));
}
