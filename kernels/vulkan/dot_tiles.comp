#version 460
// Many slots: 64 rows of weights are unpacked once for up to 32 slots. Blocks of 256 columns pass through shared memory
// in halves of four parts; a thread has four rows and four slots, and the products stay in its registers.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/dot.glsl"
#include "vulkan/dot4.glsl"

layout(local_size_x = 128) in;

const uint kRowStep = 16u;   // between the four rows of a thread
const uint kSlotStep = 8u;   // between its slots
const uint kStride = 9u;     // quads of a half row, and one that keeps eight rows in different banks

shared uvec4 weights[QM_TILE_ROWS * kStride];
shared uvec4 x_high[QM_TILE * kStride];
shared uvec4 x_low[QM_TILE * kStride];
shared int x_sums[QM_TILE * kStride];
shared float x_scale[QM_TILE];
shared uint x_blocks[QM_TILE];  // the first of a slot's activations
// For each run of a row: scale and minimum of a super-block; else the bits of d and dmin of its block of 32.
shared int scales[QM_TILE_ROWS * kStride];
shared int minima[QM_TILE_ROWS * kStride];
shared vec2 factors[QM_TILE_ROWS];

// Part m of a half: of super-blocks, whose parts have their runs in one half; else such groups of 32 that the tree of
// eight adds up within a half.
uint part_at(uint half_block, uint m) { return kSuper ? 4u * half_block + m : 2u * m + half_block; }
// Where run i of part m lies in its half.
uint place_of(uint half_block, uint m, uint i) {
    return kSuper ? run_of(part_at(half_block, m), i) - 8u * half_block : 2u * m + i;
}

// What a thread loads of a half block: two parts of rows of weights, and two runs of slots.
struct Loaded {
    Part parts[2];
    vec2 factors[2];
    uvec4 high[2], low[2];
    int sums[2];
    float scale[2];
};
uint item_at(uint n) { return gl_LocalInvocationIndex + 128u * n; }  // row and part of four, or slot and run of eight

void find_inputs(Slots slots) {
    uint s = gl_LocalInvocationIndex;
    if (s < slots.count) x_blocks[s] = input_of(slot_at(slots, s)) * blocks_of_row();
}

// Slots past the count are zero.
void load(out Loaded loaded, DotJob job, uint matrix, uint row0, uint count, uint block, uint half_block) {
    [[unroll]] for (uint n = 0u; n < 2u; n++) {
        uint m = item_at(n) & 3u, row = matrix + min(row0 + item_at(n) / 4u, job.rows - 1u);
        loaded.parts[n] = part_of(job.w, p.columns, row, block, part_at(half_block, m));
        loaded.factors[n] = kSuper && m == 0u ? factors_of(job.w, p.columns, row, block) : vec2(0.0f);
    }
    [[unroll]] for (uint n = 0u; n < 2u; n++) {
        uint s = item_at(n) / 8u, run = run_of(part_at(half_block, (item_at(n) & 7u) / 2u), item_at(n) & 1u);
        loaded.high[n] = loaded.low[n] = uvec4(0u);
        loaded.sums[n] = 0;
        loaded.scale[n] = 0.0f;
        if (s >= count) continue;
        uint from = x_blocks[s] + block;
        loaded.high[n] = in_digits[from * 32u + run];
        loaded.low[n] = in_digits[from * 32u + 16u + run];
        if (kMin) loaded.sums[n] = in_sums[from * 16u + run];
        if ((item_at(n) & 7u) == 0u) loaded.scale[n] = in_scale[from];
    }
}

void keep(Loaded loaded, uint half_block) {
    [[unroll]] for (uint n = 0u; n < 2u; n++) {
        uint r = item_at(n) / 4u, m = item_at(n) & 3u;
        Part part = loaded.parts[n];
        [[unroll]] for (uint i = 0u; i < 2u; i++) {
            uint at = r * kStride + place_of(half_block, m, i);
            weights[at] = part.q[i];
            scales[at] = kSuper ? part.scale[i] : floatBitsToInt(part.d);
            if (kMin) minima[at] = kSuper ? part.minimum[i] : floatBitsToInt(part.dmin);
        }
        if (kSuper && m == 0u) factors[r] = loaded.factors[n];
    }
    [[unroll]] for (uint n = 0u; n < 2u; n++) {
        uint s = item_at(n) / 8u, m = (item_at(n) & 7u) / 2u, i = item_at(n) & 1u;
        uint at = s * kStride + place_of(half_block, m, i);
        x_high[at] = loaded.high[n];
        x_low[at] = loaded.low[n];
        if (kMin) x_sums[at] = loaded.sums[n];
        if ((item_at(n) & 7u) == 0u) x_scale[s] = loaded.scale[n];
    }
}

uint row_of(uint r) { return gl_LocalInvocationIndex % kRowStep + kRowStep * r; }
uint slot_of(uint s) { return gl_LocalInvocationIndex / kRowStep + kSlotStep * s; }

// Sums over a half block of integer scale * q * digit, and of minima: [slot][row].
void add_super(uint count, inout ivec4 high[4], inout ivec4 low[4], inout ivec4 M[4]) {
    for (uint pair = 0u; pair < 4u; pair++) {
        uvec4 w[4][2];
        ivec2 scale[4], minimum[4];
        [[unroll]] for (uint r = 0u; r < 4u; r++) {
            uint at = row_of(r) * kStride + 2u * pair;
            w[r] = uvec4[2](weights[at], weights[at + 1u]);
            scale[r] = ivec2(scales[at], scales[at + 1u]);
            minimum[r] = kMin ? ivec2(minima[at], minima[at + 1u]) : ivec2(0);
        }
        [[unroll]] for (uint s = 0u; s < 4u; s++) {
            if (kSlotStep * s < count) {
                uint x = slot_of(s) * kStride + 2u * pair;
                uvec4 x_h[2] = uvec4[2](x_high[x], x_high[x + 1u]), x_l[2] = uvec4[2](x_low[x], x_low[x + 1u]);
                ivec2 x_sum = kMin ? ivec2(x_sums[x], x_sums[x + 1u]) : ivec2(0);
                [[unroll]] for (uint r = 0u; r < 4u; r++) {
                    ivec2 h = ivec2(dot16(w[r][0], x_h[0]), dot16(w[r][1], x_h[1]));
                    ivec2 l = ivec2(dot16(w[r][0], x_l[0]), dot16(w[r][1], x_l[1]));
                    high[s][r] += kPairs ? scale[r].x * (h.x + h.y) : scale[r].x * h.x + scale[r].y * h.y;
                    low[s][r] += kPairs ? scale[r].x * (l.x + l.y) : scale[r].x * l.x + scale[r].y * l.y;
                    if (kMin)
                        M[s][r] += kPairs ? minimum[r].x * (x_sum.x + x_sum.y)
                                          : minimum[r].x * x_sum.x + minimum[r].y * x_sum.y;
                }
            }
        }
    }
}

// The float of group m of a half.
float group_of(uint r, uint s, uint m) {
    uint w = row_of(r) * kStride + 2u * m, x = slot_of(s) * kStride + 2u * m;
    int high = dot16(weights[w], x_high[x]) + dot16(weights[w + 1u], x_high[x + 1u]);
    int low = dot16(weights[w], x_low[x]) + dot16(weights[w + 1u], x_low[x + 1u]);
    float d = intBitsToFloat(scales[w]);
    if (kMin) return qm_group_min(d, intBitsToFloat(minima[w]), high, low, x_sums[x] + x_sums[x + 1u]);
    return qm_group(d, high, low);
}

// Sums of the half's four groups, as qm_sum8 has them: (0 + 4) + (2 + 6), or (1 + 5) + (3 + 7).
void add_small(uint count, inout vec4 halves[4]) {
    [[unroll]] for (uint s = 0u; s < 4u; s++) {
        if (kSlotStep * s < count)
            for (uint r = 0u; r < 4u; r++)
                halves[s][r] = qm_add(qm_add(group_of(r, s, 0u), group_of(r, s, 2u)),
                                      qm_add(group_of(r, s, 1u), group_of(r, s, 3u)));
    }
}

void multiply(Slots slots, JobTile rows) {
    if (slots.count == 0u) return;
    DotJob job = p.jobs[rows.job];
    uint matrix = slots.expert * job.rows;
    vec4 sums[4] = vec4[4](vec4(0.0f), vec4(0.0f), vec4(0.0f), vec4(0.0f));  // [slot][row]
    find_inputs(slots);
    barrier();
    for (uint block = 0u; block < blocks_of_row(); block++) {
        ivec4 high[4] = ivec4[4](ivec4(0), ivec4(0), ivec4(0), ivec4(0));
        ivec4 low[4] = high, M[4] = high;
        vec4 even[4] = vec4[4](vec4(0.0f), vec4(0.0f), vec4(0.0f), vec4(0.0f)), odd[4] = even;
        for (uint half_block = 0u; half_block < 2u; half_block++) {
            // On their way while others are still at the half before.
            Loaded loaded;
            load(loaded, job, matrix, rows.first, slots.count, block, half_block);
            barrier();
            keep(loaded, half_block);
            barrier();
            if (kSuper) {
                add_super(slots.count, high, low, M);
            } else {
                even = odd;
                add_small(slots.count, odd);
            }
        }
        [[unroll]] for (uint s = 0u; s < 4u; s++)
            [[unroll]] for (uint r = 0u; r < 4u; r++) {
                vec2 d = factors[row_of(r)];
                float dx = x_scale[slot_of(s)];
                float term;
                if (!kSuper)
                    term = qm_term32(dx, qm_add(even[s][r], odd[s][r]));
                else if (kMin)
                    term = qm_term_min(d.x, d.y, dx, high[s][r], low[s][r], M[s][r]);
                else
                    term = qm_term(d.x, dx, high[s][r], low[s][r]);
                sums[s][r] = qm_add(sums[s][r], term);
            }
    }
    [[unroll]] for (uint s = 0u; s < 4u; s++)
        [[unroll]] for (uint r = 0u; r < 4u; r++) {
            uint row = rows.first + row_of(r);
            if (slot_of(s) < slots.count && row < job.rows)
                put(rows.job, slot_at(slots, slot_of(s)), row, sums[s][r]);
        }
}

void main() {
    for (uint tile = gl_WorkGroupID.y; tile < p.tiles; tile += gl_NumWorkGroups.y)
        for (uint rows = gl_WorkGroupID.x; rows < p.row_tiles; rows += gl_NumWorkGroups.x)
            multiply(slots_of(tile), job_tile(rows, QM_TILE_ROWS));
}
