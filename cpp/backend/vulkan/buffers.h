// The plan's buffers on a device, for a full batch; n, r and u as in plan.h.
#pragma once

#include "backend/vulkan/memory.h"
#include "model/config.h"

namespace qwen3moe::vulkan {

inline constexpr std::uint32_t kLogitsRows = 32;  // computed and copied at a time

// Rows of activations as floats and as X16 in blocks of 256, the last padded with zeros.
struct Activations {
    Region values;  // [rows][columns]
    Region digits;  // [rows][blocks][high, low][256] int8
    Region sums;    // [rows][blocks][16], of X over 16 values each
    Region scale;   // [rows][blocks]
    std::uint32_t columns;

    std::uint32_t blocks() const { return (columns + 255) / 256; }
};

struct Queries {
    Region digits;  // [n][heads][high, low][head_dim] int8
    Region scale;   // [n][heads], times score_scale
};

// The slots that experts work on, where there are many.
struct SortedSlots {
    Region cursor;  // [experts], for the sort
    Region order;   // [n * u], slots in the order of their experts
    Region tiles;   // how many; then expert, first in `order`, how many: see group.comp
};

// Between the logits and what is chosen of them.
struct Choosing {
    Region largest;  // [kLogitsRows][QM_CHOICE_PARTS], keys and tokens
    Region sums;     // [kLogitsRows][256], of exponentials
    Region choices;  // Choice [n]
};

// What a batch tells the device, sent as one piece.
struct BatchData {
    Region flags;   // residual, logits: not finite
    Region tokens;  // int32 [n]
    Region places;  // Place [n]
    Region wanted;  // [n]
    Region caches;  // addresses [layers][sequences]

    void cut(Arena&, const Config&, std::uint32_t rows);
};

struct Buffers {
    Region nothing;  // bound where a shader looks at nothing
    Region residual;
    Activations normed;
    Region q, k, v;
    Queries queries;
    Activations attention;
    Region router_logits, probabilities;
    Region expert_ids;  // int32 [n][u]
    SortedSlots sorted;
    Region expert_weights;
    Region gate, up;
    Activations swiglu;
    Region expert_out, moe_out, selected;
    Region attention_done;  // [heads], blocks of keys that are finished; zero between dispatches
    Region logits;          // [kLogitsRows, vocab]
    Choosing choosing;
    BatchData batch;

    // Its regions in a buffer, and their bytes.
    std::uint64_t cut(VkBuffer, const Config&, std::uint32_t rows);
    // Of the regions that are bound, the largest.
    std::uint64_t largest() const;
};

}  // namespace qwen3moe::vulkan
