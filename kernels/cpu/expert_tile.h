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

// Where the next item's rows begin, which its thread mostly takes next; null after the last.
QM_FN const std::uint8_t* next_item(std::uint32_t item, const Weight& w, std::uint32_t rows, const ExpertSlots& slots) {
    if (item + 1 == slots.count * ((rows + slots.tile_rows - 1) / slots.tile_rows)) return nullptr;
    const ExpertTile next = expert_tile(item + 1, rows, slots, 1);
    return of_expert(w, next.expert, rows).data + next.rows.first * w.row_bytes;
}

}  // namespace qwen3moe::cpu::QM_SIMD
