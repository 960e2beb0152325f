#include "backend/cuda/buffers.h"

#include <algorithm>

namespace qwen3moe::cuda {
namespace {

void take(Arena& arena, Activations& a, std::uint64_t rows, std::uint32_t columns) {
    a.columns = columns;
    const std::uint64_t blocks = rows * a.blocks();
    arena.take(a.values, rows * columns);
    arena.take(a.high, blocks * 256);
    arena.take(a.low, blocks * 256);
    arena.take(a.sums, blocks * 16);
    arena.take(a.scale, blocks);
}

}  // namespace

std::uint64_t BatchData::cut(void* base, std::uint32_t rows) {
    Arena arena(base);
    arena.take(tokens, rows);
    arena.take(places, rows);
    arena.take(wanted, rows);
    arena.take(caches, rows);
    arena.take(tiles, rows);
    return arena.bytes();
}

std::uint64_t Buffers::cut(void* base, const Config& c, std::uint32_t rows) {
    Arena arena(base);
    const std::uint64_t n = rows;
    const std::uint64_t slots = n * c.experts_used;
    arena.take(residual, n * c.width);
    take(arena, normed, n, c.width);
    arena.take(q, n * c.q_rows());
    arena.take(k, n * c.kv_rows());
    arena.take(v, n * c.kv_rows());
    arena.take(queries.high, n * c.q_rows());
    arena.take(queries.low, n * c.q_rows());
    arena.take(queries.scale, n * c.heads);
    take(arena, attention, n, c.q_rows());
    arena.take(router_logits, n * c.experts);
    arena.take(probabilities, n * c.experts);
    arena.take(expert_ids, slots);
    arena.take(expert_weights, slots);
    arena.take(tiles.cursor, c.experts);
    arena.take(tiles.order, slots);
    arena.take(tiles.tiles, slots / kTile + std::min<std::uint64_t>(slots, c.experts));
    arena.take(tiles.count, 1);
    arena.take(gate, slots * c.ff);
    arena.take(up, slots * c.ff);
    take(arena, swiglu, slots, c.ff);
    arena.take(expert_out, slots * c.width);
    arena.take(moe_out, n * c.width);
    arena.take(selected, n * c.width);
    const std::uint64_t logits_rows = std::min(rows, kLogitsRows);
    arena.take(logits, logits_rows * c.vocab);
    arena.take(choosing.largest, logits_rows * kChoiceParts);
    arena.take(choosing.sums, logits_rows * 256);
    arena.take(attention_done, c.kv_heads);
    arena.take(gate_up_read, 1);
    std::byte* described = nullptr;
    arena.take(described, BatchData{}.cut(nullptr, rows));
    batch = described;
    return arena.bytes();
}

}  // namespace qwen3moe::cuda
