// Rows of weights times rows of activations: what qkv, output, router, experts and logits are made of.
#pragma once

#include <vector>

#include "backend/vulkan/buffers.h"
#include "backend/vulkan/weights.h"

namespace qwen3moe::vulkan {

// One matrix and where its products go.
struct Job {
    const Weight& w;
    std::uint32_t rows;  // of one expert
    Region to;           // [slots][rows]
};

struct Product {
    std::vector<Job> jobs;  // at most three, their products one after the other in one buffer
    const Activations& in;
    std::uint32_t tokens;
    std::uint32_t used = 1;            // slots of a token
    std::uint32_t slots_per_row = 1;   // a slot reads row first_row + slot / slots_per_row
    std::uint32_t first_row = 0;       // of `in`
    const Buffers* experts = nullptr;  // which are chosen; null: there is one matrix, for every slot
    std::uint32_t expert_count = 0;
    bool add = false;  // to what is there, as the residual wants it
};

// So few tokens are taken slot by slot, without sorting them by expert.
inline bool takes_tiles(std::uint32_t tokens) { return tokens > 4; }

void dot_rows(Recording&, const Product&, const Region& nothing);

}  // namespace qwen3moe::vulkan
