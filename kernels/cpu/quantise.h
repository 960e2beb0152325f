// Floats to X16: blocks of 256 for matrices, blocks of head_dim for Q, K and V.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

// The largest |x| as bits: NaN and infinity win, and spoil the block's scale.
QM_FN std::uint32_t amax_bits(const float* x, std::uint32_t n) {
    std::uint32_t most = 0;
    for (std::uint32_t i = 0; i < n; i++) most = qm_abs_bits(x[i]) > most ? qm_abs_bits(x[i]) : most;
    return most;
}

// X16 of up to 256 values, as put(index, X); returns the scale.
template <class Put>
QM_FN float quantise_block(const float* x, std::uint32_t n, Put put) {
    const std::uint32_t most = amax_bits(x, n);
    const float inverse = qm_x16_inverse(most);
    for (std::uint32_t i = 0; i < n; i++) put(i, qm_x16(x[i], inverse));
    return qm_x16_scale(most);
}

QM_FN float quantise_whole(const float* x, std::uint32_t n, std::int16_t* out) {
    return quantise_block(x, n, [out](std::uint32_t i, int q) { out[i] = static_cast<std::int16_t>(q); });
}

template <class Digit>
QM_FN float quantise_digits(const float* x, std::uint32_t n, Digit* high, Digit* low) {
    return quantise_block(x, n, [high, low](std::uint32_t i, int q) {
        high[i] = static_cast<Digit>(qm_x16_high(q));
        low[i] = static_cast<Digit>(qm_x16_low(q));
    });
}

inline void quantise_row(const float* x, std::uint32_t n, X16Block* out) {
    for (std::uint32_t i = 0; i < n; i += 256, out++) {
        const std::uint32_t here = n - i < 256 ? n - i : 256;
        out->scale = quantise_digits(x + i, here, out->high, out->low);
        for (std::uint32_t j = here; j < 256; j++) out->high[j] = out->low[j] = 0;
        for (int j = 0; j < 16; j++) {
            std::int32_t high = 0, low = 0;
            for (int l = 0; l < 16; l++) high += out->high[16 * j + l], low += out->low[16 * j + l];
            out->sums[j] = 256 * high + low;
            out->sums_high[j] = high;
        }
        for (int j = 0; j < 8; j++) out->sums32[j] = out->sums[2 * j] + out->sums[2 * j + 1];
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
