// Gate and up projections of the chosen experts: an expert's weights are read once for all its tokens.
#include "cpu/dot.h"
#include "cpu/expert_tile.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void gate_up(const GateUpParams& p, const Weight& gate, const Weight& up, const Rows& in, const ExpertSlots& slots,
             float* gate_out, float* up_out, Range range) {
    for (std::uint32_t item = range.first; item < range.last; item++) {
        const ExpertTile tile = expert_tile(item, p.ff, slots, p.used);
        dot_rows(of_expert(gate, tile.expert, p.ff), tile.rows, in, tile.inputs, {gate_out, p.ff, false});
        dot_rows(of_expert(up, tile.expert, p.ff), tile.rows, in, tile.inputs, {up_out, p.ff, false});
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
