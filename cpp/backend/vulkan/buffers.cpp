#include "backend/vulkan/buffers.h"

#include <algorithm>

namespace qwen3moe::vulkan {
namespace {

void take(Arena& arena, Activations& a, std::uint64_t rows, std::uint32_t columns) {
    a.columns = columns;
    const std::uint64_t blocks = rows * a.blocks();
    arena.take<float>(a.values, rows * columns);
    arena.take<std::int8_t>(a.digits, blocks * 512);
    arena.take<std::int32_t>(a.sums, blocks * 16);
    arena.take<float>(a.scale, blocks);
}

}  // namespace

void BatchData::cut(Arena& arena, const Config& c, std::uint32_t rows) {
    arena.take<std::uint32_t>(flags, 2);
    arena.take<std::int32_t>(tokens, rows);
    arena.take<Place>(places, rows);
    arena.take<std::uint32_t>(wanted, rows);
    arena.take<VkDeviceAddress>(caches, std::uint64_t(c.layers) * rows);
}

std::uint64_t Buffers::cut(VkBuffer buffer, const Config& c, std::uint32_t rows) {
    Arena arena(buffer);
    const std::uint64_t n = rows;
    const std::uint64_t slots = n * c.experts_used;
    arena.take<std::uint32_t>(nothing, 64);
    arena.take<float>(residual, n * c.width);
    take(arena, normed, n, c.width);
    arena.take<float>(q, n * c.q_rows());
    arena.take<float>(k, n * c.kv_rows());
    arena.take<float>(v, n * c.kv_rows());
    arena.take<std::int8_t>(queries.digits, 2 * n * c.q_rows());
    arena.take<float>(queries.scale, n * c.heads);
    take(arena, attention, n, c.q_rows());
    arena.take<float>(router_logits, n * c.experts);
    arena.take<float>(probabilities, n * c.experts);
    arena.take<std::int32_t>(expert_ids, slots);
    arena.take<std::uint32_t>(sorted.cursor, c.experts);
    arena.take<std::uint32_t>(sorted.order, slots);
    arena.take<std::uint32_t>(sorted.tiles, 4 * (1 + slots / QM_TILE + std::min<std::uint64_t>(slots, c.experts)));
    arena.take<float>(expert_weights, slots);
    arena.take<float>(gate, slots * c.ff);
    arena.take<float>(up, slots * c.ff);
    take(arena, swiglu, slots, c.ff);
    arena.take<float>(expert_out, slots * c.width);
    arena.take<float>(moe_out, n * c.width);
    arena.take<float>(selected, n * c.width);
    arena.take<std::uint32_t>(attention_done, c.heads);
    const std::uint64_t logits_rows = std::min(rows, kLogitsRows);
    arena.take<float>(logits, logits_rows * c.vocab);
    arena.take<std::uint32_t>(choosing.largest, logits_rows * QM_CHOICE_PARTS * 2);
    arena.take<float>(choosing.sums, logits_rows * 256);
    arena.take<Choice>(choosing.choices, n);
    batch.cut(arena, c, rows);
    return arena.bytes();
}

std::uint64_t Buffers::largest() const {
    std::uint64_t most = 0;
    for (const Region& r :
         {residual, spanning(q, v), normed.values, normed.digits, attention.values, attention.digits, router_logits,
          spanning(gate, up), swiglu.values, swiglu.digits, expert_out, logits, batch.caches})
        most = std::max(most, r.bytes);
    return most;
}

}  // namespace qwen3moe::vulkan
