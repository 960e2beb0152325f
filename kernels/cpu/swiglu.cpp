// silu(gate) * up for every slot, as floats and as X16.
#include "cpu/quantise.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void swiglu(const SwigluParams& p, const float* gate, const float* up, const MutableRows& out, Range rows) {
    for (std::uint32_t r = rows.first; r < rows.last; r++) {
        const std::size_t at = std::size_t(r) * p.ff;
        for (std::uint32_t i = 0; i < p.ff; i++) out.values[at + i] = qm_swiglu(gate[at + i], up[at + i]);
        quantise_row(out.values + at, p.ff, out.blocks + std::size_t(r) * out.blocks_per_row());
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
