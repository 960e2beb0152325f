// The forward pass as data: the steps in their order, each with what it reads, what it writes and its weights.
// This is the only place that knows the order of layers. Executors run a plan; they do not make one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/weights.h"

namespace qwen3moe {

// One kernel file in every back end has the name of each step but `capture`.
enum class Op : std::uint8_t {
    embed,
    norm,
    qkv,
    rope_append,
    attention,
    output,
    router,
    topk,
    gate_up,
    swiglu,
    down,
    combine,
    select,
    logits,
    capture,
};
std::string_view name(Op op);

// The executor's buffers. n: rows of the batch; r: those whose logits are wanted; u: experts used.
enum class Buffer : std::uint8_t {
    none,
    tokens,          // int32 [n]
    residual,        // [n, width]
    normed,          // [n, width] and X16
    q,               // [n, heads * head_dim] and X16 by head
    k,               // [n, kv_heads * head_dim]
    v,               // [n, kv_heads * head_dim]
    cache,           // the layer's K and V
    attention,       // [n, heads * head_dim] and X16
    router_logits,   // [n, experts]
    probabilities,   // [n, experts]
    expert_ids,      // int32 [n, u]
    expert_weights,  // [n, u]
    gate,            // [n, u, ff]
    up,              // [n, u, ff]
    swiglu,          // [n, u, ff] and X16
    expert_out,      // [n, u, width]
    moe_out,         // [n, width]
    selected,        // [r, width]
    logits,          // [r, vocab]
};
std::string_view name(Buffer buffer);

// A buffer that can be looked at after a step, under a name.
struct Stage {
    std::string_view name;
    Buffer buffer;
};

inline constexpr std::uint32_t kNoLayer = ~0u;

struct Step {
    Op op;
    std::uint32_t layer;  // kNoLayer outside the layers
    std::vector<Buffer> reads;
    std::vector<Buffer> writes;
    std::vector<const gguf::Tensor*> weights;
    std::vector<Stage> stages;  // what a trace may capture after it; of a capture, what it captures
};

struct Plan {
    std::vector<Step> steps;
};

Plan make_plan(const Weights& weights);

// The same plan with a capture step after every step that has a wanted stage.
using StageFilter = std::function<bool(std::string_view stage, std::uint32_t layer)>;
Plan with_captures(const Plan& plan, const StageFilter& wanted);

// Every stage, in forward order, each once.
std::vector<std::string_view> stage_names();

// A step in a line, for people: "12 rope_append: q k v -> q k cache".
std::string describe(const Step& step);

}  // namespace qwen3moe
