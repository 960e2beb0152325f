// Rows of float weights times activations: several products side by side, each in the order of dot256.
#pragma once

#include "cpu/dot.h"
#include "cpu/lanes.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {

// Partial sums of kFloatRows * kFloatTokens products, kHeld of each, are in registers.
#if !defined(QM_LANES)
inline constexpr std::uint32_t kFloatRows = 2, kFloatTokens = 2, kHeld = 4;
#elif QM_LANES == 8
inline constexpr std::uint32_t kFloatRows = 2, kFloatTokens = 4, kHeld = kLanes;
#else
inline constexpr std::uint32_t kFloatRows = 4, kFloatTokens = 4, kHeld = kLanes;
#endif

// The 256 partial sums of each product, row by row.
template <class Format, std::uint32_t kRows, std::uint32_t kTokens>
QM_FN void partial_sums(const std::uint8_t* rows, std::size_t row_bytes, const float* const* x, std::uint32_t n,
                        float (*p)[256]) {
    const auto load = [&](std::uint32_t r, std::uint32_t i) {
        return Format::load(rows + r * row_bytes + std::size_t(i) * Format::kBytes);
    };
    const std::uint32_t whole = n / 256 * 256;
    for (std::uint32_t first = 0; first < 256; first += kHeld) {
        float sum[kRows][kTokens][kHeld];
#pragma GCC unroll 4
        for (std::uint32_t r = 0; r < kRows; r++)
#pragma GCC unroll 4
            for (std::uint32_t t = 0; t < kTokens; t++)
#pragma GCC unroll 1  // a loop becomes vector code, its copies side by side do not
                for (std::uint32_t j = 0; j < kHeld; j++) sum[r][t][j] = 0.0f;
        for (std::uint32_t i = first; i < whole; i += 256) {
            // One token waits for memory, and strides hide from the processor what comes next: the rows that follow.
            if constexpr (kTokens == 1)
                for (std::uint32_t r = kRows; r < 2 * kRows; r++)
                    __builtin_prefetch(rows + r * row_bytes + std::size_t(i) * Format::kBytes);
#pragma GCC unroll 4
            for (std::uint32_t r = 0; r < kRows; r++)
#pragma GCC unroll 4
                for (std::uint32_t t = 0; t < kTokens; t++)
#pragma GCC unroll 1
                    for (std::uint32_t j = 0; j < kHeld; j++)
                        sum[r][t][j] = qm_mul_add(load(r, i + j), x[t][i + j], sum[r][t][j]);
        }
        for (std::uint32_t r = 0; r < kRows; r++)
            for (std::uint32_t t = 0; t < kTokens; t++)
                for (std::uint32_t j = 0; j < kHeld; j++) p[r * kTokens + t][first + j] = sum[r][t][j];
    }
    for (std::uint32_t i = whole; i < n; i++)
        for (std::uint32_t r = 0; r < kRows; r++)
            for (std::uint32_t t = 0; t < kTokens; t++) {
                float& sum = p[r * kTokens + t][i - whole];
                sum = qm_mul_add(load(r, i), x[t][i], sum);
            }
}

// kTokens tokens from `t`, all rows.
template <class Format, std::uint32_t kTokens>
QM_FN void floats_of_tokens(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, std::uint32_t t,
                            const Outputs& out) {
    const float* x[kTokens];
    for (std::uint32_t i = 0; i < kTokens; i++) x[i] = in.values + std::size_t(inputs.row(t + i)) * in.columns;
    alignas(64) float p[kFloatRows * kTokens][256];
    for (std::uint32_t r = rows.first, here; r < rows.last; r += here) {
        const std::uint8_t* data = w.data + r * w.row_bytes;
        here = rows.last - r < kFloatRows ? 1 : kFloatRows;
        if (here == kFloatRows)
            partial_sums<Format, kFloatRows, kTokens>(data, w.row_bytes, x, w.columns, p);
        else
            partial_sums<Format, 1, kTokens>(data, w.row_bytes, x, w.columns, p);
        for (std::uint32_t i = 0; i < here * kTokens; i++)
            out.put(inputs.output(t + i % kTokens), r + i / kTokens, qm_settle(tree256(p[i])));
    }
}

template <class Format>
QM_FN void dot_floats(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    std::uint32_t t = 0;
    for (; t + kFloatTokens <= inputs.count; t += kFloatTokens)
        floats_of_tokens<Format, kFloatTokens>(w, rows, in, inputs, t, out);
    for (; t < inputs.count; t++) floats_of_tokens<Format, 1>(w, rows, in, inputs, t, out);
}

}  // namespace qwen3moe::cpu::QM_SIMD
