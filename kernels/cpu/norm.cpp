// RMSNorm of the residual, as floats and as X16.
#include "cpu/quantise.h"
#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {

void norm(const NormParams& p, const float* x, const float* weight, const MutableRows& out, Range range) {
    for (std::uint32_t t = range.first; t < range.last; t++) {
        const float* row = x + std::size_t(t) * p.width;
        float* y = out.values + std::size_t(t) * p.width;
        const float squares = dot256(p.width, [row](std::uint32_t i) { return row[i]; }, row);
        const float factor = qm_norm_factor(squares, p.inverse_width, p.eps);
        for (std::uint32_t i = 0; i < p.width; i++) y[i] = qm_norm(row[i], factor, weight[i]);
        quantise_row(y, p.width, out.blocks + std::size_t(t) * out.blocks_per_row());
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
