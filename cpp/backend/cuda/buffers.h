// The plan's buffers on a device, for a full batch; n, r and u as in plan.h.
#pragma once

#include <memory>

#include "backend/cuda/device.h"
#include "cuda/steps.h"
#include "model/config.h"

namespace qwen3moe::cuda {

inline constexpr std::uint32_t kLogitsRows = 32;  // computed and copied at a time
inline constexpr std::uint64_t kKeyBlockFloats = 16u
                                                 << 20;  // that attention may use at a time, if one token needs less

// What a batch tells the device, sent as one piece.
struct BatchData {
    std::int32_t* tokens;  // [n]
    Place* places;         // [n]
    uint* wanted;          // [n]
    CacheView* caches;     // [n]
    QueryTile* tiles;      // [n]

    std::uint64_t cut(void* base, std::uint32_t rows);  // its arrays from `base` on; their bytes
};

struct Buffers {
    float* residual;
    Activations normed;
    float *q, *k, *v;
    Queries queries;
    Activations attention;
    float *router_logits, *probabilities;
    std::int32_t* expert_ids;
    float* expert_weights;
    ExpertTiles tiles;
    float *gate, *up;
    Activations swiglu;
    float *expert_out, *moe_out, *selected;
    Choosing choosing;
    float* logits;         // [kLogitsRows, vocab]
    uint* attention_done;  // [kv_heads], zero between steps
    uint* gate_up_read;    // of one token's gate_up: blocks of threads that have their weights; the router clears it
    void* batch;           // BatchData of at most `rows` rows

    std::uint64_t cut(void* base, const Config& config, std::uint32_t rows);
};

}  // namespace qwen3moe::cuda
