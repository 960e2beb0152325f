// Float sums over a row, in the one order that the contract gives them.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

// The halving tree over 2 * kHalf partial sums.
template <int kHalf>
QM_FN float tree(float* p) {
#pragma GCC unroll 1  // a loop becomes vector code, its copies side by side do not
    for (int i = 0; i < kHalf; i++) p[i] = qm_add(p[i], p[i + kHalf]);
    if constexpr (kHalf > 1)
        return tree<kHalf / 2>(p);
    else
        return p[0];
}
QM_FN float tree256(float* p) { return tree<128>(p); }

// dot256: partial sum i takes elements i, i + 256, i + 512, ...
template <class Load>
QM_FN float dot256(std::uint32_t n, Load load, const float* x) {
    constexpr std::uint32_t kHeld = 64;  // partial sums held in registers at a time
    alignas(64) float p[256];
    const std::uint32_t whole = n / 256 * 256;
    for (std::uint32_t first = 0; first < 256; first += kHeld) {
        float sum[kHeld] = {};
        for (std::uint32_t i = first; i < whole; i += 256)
            for (std::uint32_t j = 0; j < kHeld; j++) sum[j] = qm_mul_add(load(i + j), x[i + j], sum[j]);
        for (std::uint32_t j = 0; j < kHeld; j++) p[first + j] = sum[j];
    }
    for (std::uint32_t i = whole; i < n; i++) p[i - whole] = qm_mul_add(load(i), x[i], p[i - whole]);
    return qm_settle(tree256(p));
}

}  // namespace qwen3moe::cpu::QM_SIMD
