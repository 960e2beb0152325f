// Work on experts is cut into tiles: one expert, some rows of its matrix, all tokens routed to it.
#pragma once

#include "cpu/dot.h"

namespace qwen3moe::cpu::QM_SIMD {

struct ExpertTile {
    std::uint32_t expert;
    Range rows;
    Inputs inputs;
};

QM_FN ExpertTile expert_tile(std::uint32_t item, std::uint32_t rows, const ExpertSlots& slots,
                             std::uint32_t slots_per_row) {
    const std::uint32_t tiles = (rows + slots.tile_rows - 1) / slots.tile_rows;
    const std::uint32_t expert = slots.active[item / tiles];
    const std::uint32_t first = item % tiles * slots.tile_rows;
    const std::uint32_t last = first + slots.tile_rows < rows ? first + slots.tile_rows : rows;
    const std::uint32_t count = slots.first[expert + 1] - slots.first[expert];
    return {expert, {first, last}, {slots.slot + slots.first[expert], count, slots_per_row}};
}

QM_FN Weight of_expert(const Weight& w, std::uint32_t expert, std::uint32_t rows) {
    return {w.data + std::size_t(expert) * rows * w.row_bytes, w.type, w.columns, w.row_bytes};
}

}  // namespace qwen3moe::cpu::QM_SIMD
