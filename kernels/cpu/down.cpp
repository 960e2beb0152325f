// Down projections of the chosen experts, one row of output per slot.
#include "cpu/dot.h"
#include "cpu/expert_tile.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void down(const DownParams& p, const Weight& w, const Rows& in, const ExpertSlots& slots, float* out, Range range) {
    for (std::uint32_t item = range.first; item < range.last; item++) {
        const ExpertTile tile = expert_tile(item, p.width, slots, 1);
        dot_rows(of_expert(w, tile.expert, p.width), tile.rows, in, tile.inputs, {out, p.width, false});
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
