// Rows of weights times X16: eight threads hold an item, a block of 256 weights, a part each, of kRows rows. The items
// of a row lie side by side (kSpan of them, then the next stride); short rows leave room for several sets of rows.
// Integer sums meet through shared memory, in any order; then one thread makes each item's float. Whoever includes it
// says where rows and activations are, and adds the floats up in their order.
#include "vulkan/dot4.glsl"
#include "vulkan/threads.glsl"
#include "vulkan/unpack.glsl"

layout(constant_id = 3) const uint kSpan = 8u;  // items of a row that are taken side by side
const uint kRows = QM_SET_ROWS;
const uint kGroups = kThreads / 8u;
const uint kSets = kGroups / kSpan;
const uint kTileRows = kSets * kRows;
const uint kStride = kThreads + kGroups;  // a word between groups of eight keeps their readers in different banks

// row: of the tile's kTileRows; past the last it is some row that is there. item: of that row, from 0 on.
WeightAddress matrix_of(uint row);
uint columns_of_row();
uint row_of(uint row, uint item);
uint block_of(uint item);
uvec4 x_digits(uint item, uint digit, uint run);  // digit 0 is the high one
int x_sum(uint item, uint run);
float x_scale(uint item);

shared ivec4 cells[kRows * kStride];  // sums of high digits, of low ones, and of minima; or the bits of a group's float
shared float terms[kRows * kGroups];  // [group][row of its set]

// What a thread has on its way: its part of an item of kRows rows, and the factors of the float that it makes.
struct Items {
    Part parts[kRows];
    vec2 factors;
};

uint set_of(uint group) { return min(group / kSpan, kSets - 1u); }  // groups beyond the sets do work that is not used
uint cell(uint row, uint group, uint k) { return row * kStride + group * 9u + k; }

// Items first ... of the tile's rows, of which each has `items`.
Items load_items(uint first, uint items) {
    uint t = gl_LocalInvocationIndex, group = t / 8u;
    uint item = min(first + group % kSpan, items - 1u);
    Items loaded;
    [[unroll]] for (uint r = 0u; r < kRows; r++) {
        uint row = set_of(group) * kRows + r;
        loaded.parts[r] = part_of(matrix_of(row), columns_of_row(), row_of(row, item), block_of(item), t & 7u);
    }
    loaded.factors = vec2(0.0f);
    if (kSuper) {
        uint term_group = (t / kRows) % kGroups, row = set_of(term_group) * kRows + t % kRows;
        item = min(first + term_group % kSpan, items - 1u);
        loaded.factors = factors_of(matrix_of(row), columns_of_row(), row_of(row, item), block_of(item));
    }
    return loaded;
}

// What one item adds to one row.
float term_of(uint row, uint group, vec2 factors, float dx) {
    if (!kSuper) {
        float g[8];
        [[unroll]] for (uint k = 0u; k < 8u; k++) g[k] = intBitsToFloat(cells[cell(row, group, k)].x);
        return qm_term32(dx, qm_sum8(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]));
    }
    ivec4 sum = ivec4(0);
    [[unroll]] for (uint k = 0u; k < 8u; k++) sum += cells[cell(row, group, k)];
    if (!kMin) return qm_term(factors.x, dx, sum.x, sum.y);
    return qm_term_min(factors.x, factors.y, dx, sum.x, sum.y, sum.z);
}

// The floats of items that were loaded, to `terms`, which is there after the last barrier.
void make_terms(Items loaded, uint first, uint items) {
    const uint t = gl_LocalInvocationIndex, group = t / 8u, k = t & 7u;
    uint item = min(first + group % kSpan, items - 1u);
    uvec4 high_digits[2], low_digits[2];
    int sums[2];
    [[unroll]] for (uint i = 0u; i < 2u; i++) {
        uint run = run_of(k, i);
        high_digits[i] = x_digits(item, 0u, run);
        low_digits[i] = x_digits(item, 1u, run);
        sums[i] = kMin ? x_sum(item, run) : 0;
    }
    [[unroll]] for (uint r = 0u; r < kRows; r++) {
        Part part = loaded.parts[r];
        ivec2 high = ivec2(dot16(part.q[0], high_digits[0]), dot16(part.q[1], high_digits[1]));
        ivec2 low = ivec2(dot16(part.q[0], low_digits[0]), dot16(part.q[1], low_digits[1]));
        uint at = cell(r, group, k);
        if (kSuper) {
            high *= part.scale;
            low *= part.scale;
            int M = kMin ? part.minimum.x * sums[0] + part.minimum.y * sums[1] : 0;
            cells[at] = ivec4(high.x + high.y, low.x + low.y, M, 0);
            continue;
        }
        float value = 0.0f;  // past the end of a row of 32s
        if (8u * block_of(item) + k < columns_of_row() / 32u)
            value = kMin ? qm_group_min(part.d, part.dmin, high.x + high.y, low.x + low.y, sums[0] + sums[1])
                         : qm_group(part.d, high.x + high.y, low.x + low.y);
        cells[at].x = floatBitsToInt(value);
    }
    barrier();
    if (t < kRows * kGroups) {
        uint term_group = t / kRows;
        float dx = x_scale(min(first + term_group % kSpan, items - 1u));
        terms[t] = term_of(t % kRows, term_group, loaded.factors, dx);
    }
    barrier();
}

// The term of item first + i of a row of the tile.
float term_at(uint row, uint i) { return terms[(row / kRows * kSpan + i) * kRows + row % kRows]; }
