// Rows of weights times activations, kLanes rows at a time. For one token the weights go from the file through
// registers; for more they are unpacked once into a tile that stays in the first cache.
#pragma once

#include "cpu/dot.h"
#include "cpu/lane_formats.h"

#if defined(QM_LANES)

namespace qwen3moe::cpu::QM_SIMD {

inline constexpr std::uint32_t kTileTokens = 96;  // tokens that share a tile; their sums are in the first cache as well

// A hint to bring into the second cache what is needed soon; past the end it does no harm.
QM_FN void prefetch(const std::uint8_t* data, std::uint32_t bytes) {
    for (std::uint32_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

// The same into the first cache.
QM_FN void prefetch_close(const std::uint8_t* data, std::uint32_t bytes) {
    for (std::uint32_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i);
}

// And what comes next: the line of a block's digits that is as far into them as `place`, and its sums.
QM_FN void prefetch_digits(const X16Block* x, int place) {
    __builtin_prefetch(x->high + 2 * place);
    if (place == 0) __builtin_prefetch(x->sums32);
}

// A block of kLanes rows.
struct alignas(64) LaneTile {
    Lanes q[64];  // word i: values 4i to 4i + 3
    LaneScales scales;
};

// What a block of one token's activations looks like to add_group: every lane the same digits.
template <class F>
struct SameDigits {
    static constexpr bool kBiased = F::Format::kBias != 0;

    QM_FN void prepare(const X16Block& x, SameDigits& out) {
        out.block = &x;
        if constexpr (kBiased)
            for (int g = 0; g < 16; g++) {
                out.start_high[g] = -F::Format::kBias * x.sums_high[g];
                out.start_low[g] = -F::Format::kBias * (x.sums[g] - 256 * x.sums_high[g]);
            }
    }

    Lanes high(int word) const { return splat_at(block->high + 4 * word); }
    Lanes low(int word) const { return splat_at(block->low + 4 * word); }
    Lanes bias_high(int group) const { return splat(start_high[group]); }
    Lanes bias_low(int group) const { return splat(start_low[group]); }
    Lanes sums(int group) const { return splat(block->sums32[group]); }
    float scale(std::uint32_t) const { return block->scale; }

    const X16Block* block;
    std::int32_t start_high[16], start_low[16];  // of a format with a bias: -bias * the sum of the group's digits
};

// The same for kLanes blocks, a lane for each.
template <class F>
struct alignas(64) OwnDigits {
    static constexpr bool kBiased = F::Format::kBias != 0;

    Lanes high(int word) const { return digits[word]; }
    Lanes low(int word) const { return digits[64 + word]; }
    Lanes bias_high(int group) const { return start_high[group]; }
    Lanes bias_low(int group) const { return start_low[group]; }
    Lanes sums(int group) const { return sums32[group]; }
    float scale(std::uint32_t lane) const { return scales[lane]; }

    Lanes digits[128];
    Lanes start_high[16], start_low[16];
    Lanes sums32[8];
    float scales[kLanes];
};

template <class F>
QM_FN void prepare(const X16Block* const* x, OwnDigits<F>& out) {
    struct Blocks {
        const std::uint8_t* row(int r) const { return reinterpret_cast<const std::uint8_t*>(x[r]); }
        const X16Block* const* x;
    } const blocks{x};
    for (int i = 0; i < 32; i++) transpose(blocks, 16 * i, out.digits + 4 * i);
    if constexpr (OwnDigits<F>::kBiased) {
        Lanes sums[16], sums_high[16];
        for (int i = 0; i < 4; i++) {
            transpose(blocks, int(offsetof(X16Block, sums)) + 16 * i, sums + 4 * i);
            transpose(blocks, int(offsetof(X16Block, sums_high)) + 16 * i, sums_high + 4 * i);
        }
        for (int g = 0; g < 16; g++) {
            const Lanes low = subtract(sums[g], left<8>(sums_high[g]));
            out.start_high[g] = multiply(splat(-F::Format::kBias), sums_high[g]);
            out.start_low[g] = multiply(splat(-F::Format::kBias), low);
        }
    }
    if constexpr (F::Format::kMin)
        for (int i = 0; i < 2; i++) transpose(blocks, int(offsetof(X16Block, sums32)) + 16 * i, out.sums32 + 4 * i);
    for (std::uint32_t r = 0; r < kLanes; r++) out.scales[r] = x[r]->scale;
}

// The integer sums of kTokens tokens over the blocks of kTiles tiles, as they grow.
template <int kTiles, int kTokens>
struct Totals {
    Lanes high[kTokens][kTiles], low[kTokens][kTiles];
};

// Adds scale * q * digit over the group of values from `place`; the words of tile u are q(u, 0), q(u, 1), ...
template <class F, int kTiles, int kTokens, class Q, class Scale, class X>
QM_FN void add_group(Q q, Scale scale, int place, const X* x, Totals<kTiles, kTokens>& totals) {
    constexpr int words = F::kGroup / 4;
    constexpr int most = kSumLimit / (256 * F::kMost);
    constexpr int run = kSumLimit == 0 || most > words ? words : most;
    constexpr bool starts = X::kBiased && kSumLimit == 0;
    const int group = place / F::kGroup;
#pragma GCC unroll 8
    for (int first = 0; first < words; first += run) {
        Lanes high[kTokens][kTiles], low[kTokens][kTiles];
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; t++)
#pragma GCC unroll 2
            for (int u = 0; u < kTiles; u++) {
                high[t][u] = starts ? x[t].bias_high(group) : splat(0);
                low[t][u] = starts ? x[t].bias_low(group) : splat(0);
            }
#pragma GCC unroll 8
        for (int i = first; i < first + run; i++) {
            Lanes word[kTiles];
#pragma GCC unroll 2
            for (int u = 0; u < kTiles; u++) word[u] = q(u, i);
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; t++) {
                const Lanes digits_high = x[t].high(place / 4 + i), digits_low = x[t].low(place / 4 + i);
#pragma GCC unroll 2
                for (int u = 0; u < kTiles; u++) {
                    high[t][u] = dot4(high[t][u], word[u], digits_high);
                    low[t][u] = dot4(low[t][u], word[u], digits_low);
                }
            }
        }
#pragma GCC unroll 2
        for (int u = 0; u < kTiles; u++) {
            const Lanes factor = spread(scale(u));
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; t++) {
                totals.high[t][u] = scaled(totals.high[t][u], factor, high[t][u]);
                totals.low[t][u] = scaled(totals.low[t][u], factor, low[t][u]);
            }
        }
    }
    if constexpr (X::kBiased && !starts)
#pragma GCC unroll 2
        for (int u = 0; u < kTiles; u++)
#pragma GCC unroll 8
            for (int t = 0; t < kTokens; t++) {
                totals.high[t][u] = add(totals.high[t][u], multiply(scale(u), x[t].bias_high(group)));
                totals.low[t][u] = add(totals.low[t][u], multiply(scale(u), x[t].bias_low(group)));
            }
}

// The blocks' floats: what each adds to its row.
template <class F, class X>
QM_FN void block_terms(const LaneScales& s, const X& x, Lanes total_high, Lanes total_low, float* __restrict out) {
    alignas(64) std::int32_t high[kLanes], low[kLanes], minimum[kLanes];
    store(high, total_high);
    store(low, total_low);
    if constexpr (F::Format::kMin) {
        Lanes M = splat(0);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) M = add(M, multiply(s.minimum[g], x.sums(g)));
        store(minimum, M);
    }
#pragma GCC unroll 1  // a loop becomes vector code, its copies side by side do not
    for (std::uint32_t r = 0; r < kLanes; r++) {
        if constexpr (F::Format::kMin)
            out[r] = qm_term_min(s.d[r], s.dmin[r], x.scale(r), high[r], low[r], minimum[r]);
        else
            out[r] = qm_term(s.d[r], x.scale(r), high[r], low[r]);
    }
}

// kLanes blocks that follow each other in the file, each times its own: weights go through registers.
template <class F>
QM_FN void blocks_of_one(const std::uint8_t* p, const OwnDigits<F>& x, float* out) {
    constexpr int words = F::kGroup / 4;
    const Consecutive blocks{p, F::Format::kBytes};
    LaneScales scales;
    F::scales(blocks, scales);
    Totals<1, 1> totals{{{splat(0)}}, {{splat(0)}}};
#pragma GCC unroll 4
    for (int c = 0; c < kChunks; c++) {
        Lanes read[F::kWords];
        F::read(blocks, c, read);
#pragma GCC unroll 4
        for (int i = 0; i < kChunkWords; i += words) {
            const auto q = [&](int, int j) __attribute__((always_inline)) { return F::q(read, c, i + j); };
            const auto scale = [&](int) { return scales.scale[F::place(c, i) / F::kGroup]; };
            add_group<F, 1, 1>(q, scale, F::place(c, i), &x, totals);
        }
    }
    block_terms<F>(scales, x, totals.high[0][0], totals.low[0][0], out);
}

template <class F>
QM_FN void unpack_tile(const RowBases& rows, LaneTile& tile) {
    F::scales(rows, tile.scales);
#pragma GCC unroll 4
    for (int c = 0; c < kChunks; c++) {
        Lanes read[F::kWords];
        F::read(rows, c, read);
#pragma GCC unroll 16
        for (int i = 0; i < kChunkWords; i++) tile.q[F::place(c, i) / 4] = F::q(read, c, i);
    }
}

// Adds to sums[t] what the tiles' blocks make of token t's; `soon` are the blocks that come next.
template <class F, int kTiles, int kTokens>
void tiles_times(const LaneTile* tiles, const X16Block* const* x, const X16Block* const* soon,
                 float (*sums)[kTiles * kLanes]) {
    SameDigits<F> digits[kTokens];
    Totals<kTiles, kTokens> totals;
    for (int t = 0; t < kTokens; t++) {
        SameDigits<F>::prepare(*x[t], digits[t]);
        for (int u = 0; u < kTiles; u++) totals.high[t][u] = totals.low[t][u] = splat(0);
    }
    for (int place = 0; place < 256; place += F::kGroup) {
        if (place % 32 == 0)
            for (int t = 0; t < kTokens; t++) prefetch_digits(soon[t], place);
        const auto q = [&](int u, int j) __attribute__((always_inline)) { return tiles[u].q[place / 4 + j]; };
        const auto scale = [&](int u)
                               __attribute__((always_inline)) { return tiles[u].scales.scale[place / F::kGroup]; };
        add_group<F, kTiles, kTokens>(q, scale, place, digits, totals);
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; t++)
#pragma GCC unroll 2
        for (int u = 0; u < kTiles; u++) {
            alignas(64) float terms[kLanes];
            block_terms<F>(tiles[u].scales, digits[t], totals.high[t][u], totals.low[t][u], terms);
            float* sum = sums[t] + u * kLanes;
#pragma GCC unroll 1
            for (std::uint32_t r = 0; r < kLanes; r++) sum[r] = qm_add(sum[r], terms[r]);
        }
}

// As many tokens at once as are left, up to kMost.
template <class F, int kTiles, int kMost>
QM_FN void tiles_times_few(int tokens, const LaneTile* tiles, const X16Block* const* x, const X16Block* const* soon,
                           float (*sums)[kTiles * kLanes]) {
    if constexpr (kMost > 1)
        if (tokens < kMost) return tiles_times_few<F, kTiles, kMost - 1>(tokens, tiles, x, soon, sums);
    tiles_times<F, kTiles, kMost>(tiles, x, soon, sums);
}

// Up to kLanes rows of a matrix, block by block; of fewer a copy with zeros for those that are not there.
template <class F>
QM_FN RowBases block_of_rows(const Weight& w, Range rows, std::uint32_t block, std::uint8_t* copy) {
    constexpr std::uint32_t bytes = F::Format::kBytes;
    const std::uint8_t* p = w.data + rows.first * w.row_bytes + std::size_t(block) * bytes;
    const std::uint32_t count = rows.last - rows.first;
    if (count == kLanes) return {p, w.row_bytes};
    for (std::uint32_t r = 0; r < kLanes; r++)
        for (std::uint32_t i = 0; i < bytes; i++) copy[r * bytes + i] = r < count ? p[r * w.row_bytes + i] : 0;
    return {copy, bytes};
}

// Rows of kTiles tiles, the last of which may end early.
template <class F, int kTiles>
QM_FN void rows_of_many(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    constexpr std::uint32_t bytes = kTiles * kLanes * F::Format::kBytes;
    const std::uint32_t blocks = w.columns / 256;
    alignas(64) std::uint8_t copy[kLanes * F::Format::kBytes];
    for (std::uint32_t t0 = 0; t0 < inputs.count; t0 += kTileTokens) {
        const std::uint32_t tokens = inputs.count - t0 < kTileTokens ? inputs.count - t0 : kTileTokens;
        // The rows that follow are asked for while there is work between one hint and the next.
        const std::uint8_t* ahead = w.data + (rows.first + kTiles * kLanes) * w.row_bytes;
        const std::uint32_t hint = t0 == 0 ? (bytes * kTokensAtOnce / tokens + 64) / 64 * 64 : 0;
        const std::uint32_t close = (kTiles * kLanes * kTokensAtOnce + tokens - 1) / tokens;  // of a block's rows
        const X16Block* x[kTileTokens + kTokensAtOnce];  // each token's block, and once more the first ones' next
        alignas(64) float sums[kTileTokens][kTiles * kLanes];
        for (std::uint32_t t = 0; t < tokens; t++) {
            x[t] = in.blocks + std::size_t(inputs.row(t0 + t)) * blocks;
            for (std::uint32_t r = 0; r < kTiles * kLanes; r++) sums[t][r] = 0.0f;
        }
        for (std::uint32_t block = 0; block < blocks; block++) {
            LaneTile tiles[kTiles];
            for (std::uint32_t u = 0; u < kTiles; u++) {
                const std::uint32_t first = rows.first + u * kLanes;
                const Range these{first, rows.last - first < kLanes ? rows.last : first + kLanes};
                unpack_tile<F>(block_of_rows<F>(w, these, block, copy), tiles[u]);
            }
            for (std::uint32_t t = 0; t < kTokensAtOnce; t++) x[tokens + t] = x[t < tokens ? t : 0] + 1;
            const std::uint8_t* next = block + 1 < blocks
                                           ? w.data + rows.first * w.row_bytes + (block + 1) * F::Format::kBytes
                                           : w.data + rows.last * w.row_bytes;
            for (std::uint32_t t = 0, row = 0; t < tokens; t += kTokensAtOnce) {
                const std::uint32_t here = tokens - t < kTokensAtOnce ? tokens - t : kTokensAtOnce;
                tiles_times_few<F, kTiles, kTokensAtOnce>(static_cast<int>(here), tiles, x + t, x + t + here, sums + t);
                prefetch(ahead, hint);
                ahead += hint;
                for (const std::uint32_t end = row + close < kTiles * kLanes ? row + close : kTiles * kLanes; row < end;
                     row++)
                    prefetch_close(next + row * w.row_bytes, F::Format::kBytes);
                if (block + 1 == blocks)
                    for (std::uint32_t i = t; i < t + here; i++) out.expect(inputs.output(t0 + i), rows);
            }
            for (std::uint32_t t = 0; t < tokens; t++) x[t]++;
        }
        for (std::uint32_t t = 0; t < tokens; t++) out.put_run(inputs.output(t0 + t), rows, sums[t]);
    }
}

inline constexpr std::uint32_t kBytesAhead = 8192;
inline constexpr std::uint32_t kMostPhases = 8;  // ways in which blocks of a row can fall into lanes

// One token: the matrix is a row of blocks that lanes take kLanes at a time, so that memory is read from end to end.
template <class F>
QM_FN void rows_of_one(const Weight& w, Range rows, const X16Block* x, std::uint32_t phases, const Outputs& out,
                       std::uint32_t output) {
    constexpr std::uint32_t bytes = F::Format::kBytes;
    const std::uint32_t blocks = w.columns / 256;
    OwnDigits<F> digits[kMostPhases];
    for (std::uint32_t phase = 0, block = 0; phase < phases; phase++) {
        const X16Block* lanes[kLanes];
        for (std::uint32_t r = 0; r < kLanes; r++, block = block + 1 == blocks ? 0 : block + 1) lanes[r] = x + block;
        prepare<F>(lanes, digits[phase]);
    }
    const std::uint8_t* p = w.data + rows.first * w.row_bytes;
    const std::size_t count = std::size_t(rows.last - rows.first) * blocks;
    std::uint32_t row = rows.first, block = 0, phase = 0;
    float sum = 0.0f;
    for (std::size_t first = 0; first < count; first += kLanes, p += kLanes * bytes) {
        const std::uint32_t here = count - first < kLanes ? static_cast<std::uint32_t>(count - first) : kLanes;
        alignas(64) std::uint8_t copy[kLanes * bytes];
        if (here < kLanes)
            for (std::uint32_t i = 0; i < kLanes * bytes; i++) copy[i] = i < here * bytes ? p[i] : 0;
        prefetch(p + kBytesAhead, kLanes * bytes);
        alignas(64) float terms[kLanes];
        blocks_of_one<F>(here < kLanes ? copy : p, digits[phase], terms);
        for (std::uint32_t r = 0; r < here; r++) {
            sum = qm_add(sum, terms[r]);
            if (++block < blocks) continue;
            out.put(output, row++, sum);
            sum = 0.0f;
            block = 0;
        }
        phase = phase + 1 == phases ? 0 : phase + 1;
    }
}

template <class F>
void dot_lanes(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    const std::uint32_t blocks = w.columns / 256;
    std::uint32_t phases = 1;
    while (phases * kLanes % blocks != 0) phases++;
    if (inputs.count == 1 && phases <= kMostPhases)
        return rows_of_one<F>(w, rows, in.blocks + std::size_t(inputs.row(0)) * blocks, phases, out, inputs.output(0));
    constexpr std::uint32_t whole = kTilesAtOnce * kLanes;
    for (std::uint32_t r = rows.first, end; r < rows.last; r = end) {
        const std::uint32_t left = rows.last - r, most = left > whole - kLanes ? whole : kLanes;
        end = left < most ? rows.last : r + most;
        if (most == whole)
            rows_of_many<F, kTilesAtOnce>(w, {r, end}, in, inputs, out);
        else
            rows_of_many<F, 1>(w, {r, end}, in, inputs, out);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
