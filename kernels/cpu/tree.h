// Float sums over a row, in the one order that the contract gives them.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

// The halving tree over 256 partial sums.
QM_FN float tree256(float* p) {
    for (int half = 128; half > 0; half /= 2)
        for (int i = 0; i < half; i++) p[i] = qm_add(p[i], p[i + half]);
    return p[0];
}

// dot256: partial sum i takes elements i, i + 256, i + 512, ...
template <class Load>
QM_FN float dot256(std::uint32_t n, Load load, const float* x) {
    alignas(64) float p[256] = {};
    std::uint32_t i = 0;
    for (; i + 256 <= n; i += 256)
        for (std::uint32_t j = 0; j < 256; j++) p[j] = qm_mul_add(load(i + j), x[i + j], p[j]);
    for (std::uint32_t j = 0; i + j < n; j++) p[j] = qm_mul_add(load(i + j), x[i + j], p[j]);
    return qm_settle(tree256(p));
}

}  // namespace qwen3moe::cpu::QM_SIMD
