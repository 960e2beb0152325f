// Floats to X14: blocks of 256 for matrices, blocks of head_dim for Q, K and V.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

// The largest |x| as bits: NaN and infinity win, and spoil the block's scale.
QM_FN std::uint32_t amax_bits(const float* x, std::uint32_t n) {
    std::uint32_t most = 0;
    for (std::uint32_t i = 0; i < n; i++) most = qm_abs_bits(x[i]) > most ? qm_abs_bits(x[i]) : most;
    return most;
}

// Returns the scale.
QM_FN float quantise_block(const float* x, std::uint32_t n, std::int16_t* out) {
    const std::uint32_t most = amax_bits(x, n);
    const float inverse = qm_x14_inverse(most);
    for (std::uint32_t i = 0; i < n; i++) out[i] = static_cast<std::int16_t>(qm_x14(x[i], inverse));
    return qm_x14_scale(most);
}

inline void quantise_row(const float* x, std::uint32_t n, X14Block* out) {
    for (std::uint32_t i = 0; i < n; i += 256, out++) {
        const std::uint32_t here = n - i < 256 ? n - i : 256;
        out->scale = quantise_block(x + i, here, out->x);
        for (std::uint32_t j = here; j < 256; j++) out->x[j] = 0;
        for (int j = 0; j < 16; j++) {
            std::int32_t sum = 0;
            for (int l = 0; l < 16; l++) sum += out->x[16 * j + l];
            out->sums[j] = sum;
        }
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
