// Rows of weights times activations, kLanes rows at a time. For one token the weights go from the file through
// registers; for more they are unpacked once into a tile that stays in the first cache.
#pragma once

#include "cpu/dot.h"
#include "cpu/lane_formats.h"

#if defined(QM_LANES)

namespace qwen3moe::cpu::QM_SIMD {

inline constexpr std::uint32_t kTileTokens = 96;  // tokens that share a tile; their sums are in the first cache as well

// A block of kLanes rows.
struct alignas(64) LaneTile {
    Lanes q[64];  // word i: values 4i to 4i + 3
    LaneScales scales;
};

// A token's sums of X in the form that a format needs.
struct Offsets {
    std::int32_t high[16], low[16];  // where the sums of a format with a bias start: -bias * sum of the digits
    std::int32_t sums[8];            // of 32 values each, for minima
};

template <class F>
QM_FN void set_offsets(const X16Block& x, Offsets& o) {
    using Format = typename F::Format;
    if constexpr (Format::kBias != 0)
        for (int g = 0; g < 16; g++) {
            o.high[g] = -Format::kBias * x.sums_high[g];
            o.low[g] = -Format::kBias * (x.sums[g] - 256 * x.sums_high[g]);
        }
    if constexpr (Format::kMin)
        for (int g = 0; g < 8; g++) o.sums[g] = x.sums[2 * g] + x.sums[2 * g + 1];
}

// The integer sums of kTokens tokens over a block, as they grow.
template <int kTokens>
struct Totals {
    Lanes high[kTokens], low[kTokens];
};

// Adds scale * q * digit over the group of values from `place`, whose words are q.
template <class F, int kTokens>
QM_FN void add_group(const Lanes* q, Lanes scale, int place, const X16Block* const* x, const Offsets* offsets,
                     Totals<kTokens>& totals) {
    constexpr int words = F::kGroup / 4;
    constexpr int run = kSumLimit == 0 ? words : kSumLimit / (256 * F::kMost) < words ? kSumLimit / (256 * F::kMost) : words;
    constexpr bool biased = F::Format::kBias != 0;
    const int group = place / F::kGroup;
    const Lanes factor = spread(scale);
#pragma GCC unroll 8
    for (int first = 0; first < words; first += run) {
        Lanes high[kTokens], low[kTokens];
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; t++) {
            high[t] = splat(biased && kSumLimit == 0 ? offsets[t].high[group] : 0);
            low[t] = splat(biased && kSumLimit == 0 ? offsets[t].low[group] : 0);
        }
#pragma GCC unroll 8
        for (int i = first; i < first + run; i++)
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; t++) {
                high[t] = dot4(high[t], q[i], x[t]->high + place + 4 * i);
                low[t] = dot4(low[t], q[i], x[t]->low + place + 4 * i);
            }
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; t++) {
            totals.high[t] = scaled(totals.high[t], factor, high[t]);
            totals.low[t] = scaled(totals.low[t], factor, low[t]);
        }
    }
    if constexpr (biased && kSumLimit != 0)
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; t++) {
            totals.high[t] = add(totals.high[t], multiply(scale, splat(offsets[t].high[group])));
            totals.low[t] = add(totals.low[t], multiply(scale, splat(offsets[t].low[group])));
        }
}

// The block's float, added to the rows' sums.
template <class F, int kTokens>
QM_FN void add_terms(const LaneScales& s, const X16Block* const* x, const Offsets* offsets,
                     const Totals<kTokens>& totals, float (*sums)[kLanes]) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; t++) {
        alignas(64) std::int32_t high[kLanes], low[kLanes], minimum[kLanes];
        store(high, totals.high[t]);
        store(low, totals.low[t]);
        const float dx = x[t]->scale;
        if constexpr (F::Format::kMin) {
            Lanes M = splat(0);
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++) M = add(M, multiply(s.minimum[g], splat(offsets[t].sums[g])));
            store(minimum, M);
        }
        for (std::uint32_t r = 0; r < kLanes; r++) {
            if constexpr (F::Format::kMin)
                sums[t][r] = qm_add(sums[t][r], qm_term_min(s.d[r], s.dmin[r], dx, high[r], low[r], minimum[r]));
            else
                sums[t][r] = qm_add(sums[t][r], qm_term(s.d[r], dx, high[r], low[r]));
        }
    }
}

// A block of one token, its weights straight from the file.
template <class F>
QM_FN void block_of_one(const std::uint8_t* p, std::size_t stride, const X16Block& x, float (*sums)[kLanes]) {
    constexpr int words = F::kGroup / 4;
    LaneScales scales;
    F::scales(p, stride, scales);
    Offsets offsets;
    set_offsets<F>(x, offsets);
    const X16Block* const one = &x;
    Totals<1> totals{{splat(0)}, {splat(0)}};
#pragma GCC unroll 4
    for (int c = 0; c < kChunks; c++) {
        Lanes q[kChunkWords];
        F::chunk(p, stride, c, q);
#pragma GCC unroll 4
        for (int i = 0; i < kChunkWords; i += words)
            add_group<F, 1>(q + i, scales.scale[F::place(c, i) / F::kGroup], F::place(c, i), &one, &offsets, totals);
    }
    add_terms<F, 1>(scales, &one, &offsets, totals, sums);
}

template <class F>
QM_FN void unpack_tile(const std::uint8_t* p, std::size_t stride, LaneTile& tile) {
    F::scales(p, stride, tile.scales);
#pragma GCC unroll 4
    for (int c = 0; c < kChunks; c++) {
        Lanes q[kChunkWords];
        F::chunk(p, stride, c, q);
        for (int i = 0; i < kChunkWords; i++) tile.q[F::place(c, i) / 4] = q[i];
    }
}

template <class F, int kTokens>
void tile_times(const LaneTile& tile, const X16Block* const* x, float (*sums)[kLanes]) {
    Offsets offsets[kTokens];
    Totals<kTokens> totals;
    for (int t = 0; t < kTokens; t++) {
        set_offsets<F>(*x[t], offsets[t]);
        totals.high[t] = totals.low[t] = splat(0);
    }
    for (int place = 0; place < 256; place += F::kGroup)
        add_group<F, kTokens>(tile.q + place / 4, tile.scales.scale[place / F::kGroup], place, x, offsets, totals);
    add_terms<F, kTokens>(tile.scales, x, offsets, totals, sums);
}

// As many tokens at once as are left, up to kMost.
template <class F, int kMost>
QM_FN void tile_times_few(int tokens, const LaneTile& tile, const X16Block* const* x, float (*sums)[kLanes]) {
    if constexpr (kMost > 1)
        if (tokens < kMost) return tile_times_few<F, kMost - 1>(tokens, tile, x, sums);
    tile_times<F, kMost>(tile, x, sums);
}

// The rows of one step through the matrix: where its next block lies, or a copy of the rows that are left with zeros
// for those that are not there.
template <class F>
struct RowBlocks {
    static constexpr std::uint32_t kBytes = F::Format::kBytes;

    RowBlocks(const Weight& weight, Range rows) : w(weight), first(rows.first), count(rows.last - rows.first) {}

    void at(std::uint32_t block, const std::uint8_t*& p, std::size_t& stride) {
        p = w.data + first * w.row_bytes + std::size_t(block) * kBytes;
        stride = w.row_bytes;
        if (count == kLanes) return;
        for (std::uint32_t r = 0; r < kLanes; r++)
            for (std::uint32_t i = 0; i < kBytes; i++) copy[r * kBytes + i] = r < count ? p[r * stride + i] : 0;
        p = copy;
        stride = kBytes;
    }

    const Weight& w;
    std::uint32_t first, count;
    alignas(64) std::uint8_t copy[kLanes * kBytes];
};

// Rows are short and many are read side by side, which hardware does not foresee: the same part of the next rows is
// asked for while this one is worked on. A hint past the end does no harm.
template <class F>
QM_FN void prefetch_next_rows(const Weight& w, std::uint32_t row, std::uint32_t block) {
    const std::uint8_t* p = w.data + (row + kLanes) * w.row_bytes + std::size_t(block) * kLanes * F::Format::kBytes;
    for (std::uint32_t i = 0; i < kLanes * F::Format::kBytes; i += 64) __builtin_prefetch(p + i);
}

template <class F>
void dot_lanes(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    const std::uint32_t blocks = w.columns / 256;
    for (std::uint32_t r0 = rows.first; r0 < rows.last; r0 += kLanes) {
        RowBlocks<F> source(w, {r0, rows.last - r0 < kLanes ? rows.last : r0 + kLanes});
        for (std::uint32_t t0 = 0; t0 < inputs.count; t0 += kTileTokens) {
            const std::uint32_t tokens = inputs.count - t0 < kTileTokens ? inputs.count - t0 : kTileTokens;
            alignas(64) float sums[kTileTokens][kLanes];
            for (std::uint32_t t = 0; t < tokens; t++)
                for (std::uint32_t r = 0; r < kLanes; r++) sums[t][r] = 0.0f;
            for (std::uint32_t block = 0; block < blocks; block++) {
                const std::uint8_t* p;
                std::size_t stride;
                source.at(block, p, stride);
                if (t0 == 0) prefetch_next_rows<F>(w, r0, block);
                if (tokens == 1) {
                    const X16Block* x = in.blocks + std::size_t(inputs.row(t0)) * blocks + block;
                    block_of_one<F>(p, stride, *x, sums);
                    continue;
                }
                LaneTile tile;
                unpack_tile<F>(p, stride, tile);
                for (std::uint32_t t = 0; t < tokens; t += kTokensAtOnce) {
                    const X16Block* x[kTokensAtOnce];
                    const std::uint32_t here = tokens - t < kTokensAtOnce ? tokens - t : kTokensAtOnce;
                    for (std::uint32_t i = 0; i < here; i++)
                        x[i] = in.blocks + std::size_t(inputs.row(t0 + t + i)) * blocks + block;
                    tile_times_few<F, kTokensAtOnce>(static_cast<int>(here), tile, x, sums + t);
                }
            }
            for (std::uint32_t t = 0; t < tokens; t++)
                for (std::uint32_t r = 0; r < source.count; r++) out.put(inputs.output(t0 + t), r0 + r, sums[t][r]);
        }
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
