// The steps' parameters from the config and the size of a batch: one function per struct of kernels/shared/steps.h.
#pragma once

#include "model/config.h"
#include "shared/steps.h"

namespace qwen3moe {

// Host-only constants, rounded once from double.
inline float inverse(std::uint32_t n) { return static_cast<float>(1.0 / n); }

inline EmbedParams embed_params(const Config& c, std::uint32_t tokens) { return {tokens, c.width}; }
inline NormParams norm_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.width, inverse(c.width), c.eps};
}
inline QkvParams qkv_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.width, c.q_rows(), c.kv_rows()};
}
inline RopeAppendParams rope_append_params(const Config& c, std::uint32_t tokens) {
    const float score_scale = c.head_dim == 64 ? 0.125f : 0.0883883461f;  // 1 / sqrt(head_dim), which is 64 or 128
    return {tokens, c.heads, c.kv_heads, c.head_dim, inverse(c.head_dim), c.eps, score_scale};
}
inline AttentionParams attention_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.heads, c.kv_heads, c.head_dim};
}
inline OutputParams output_params(const Config& c, std::uint32_t tokens) { return {tokens, c.q_rows(), c.width}; }
inline RouterParams router_params(const Config& c, std::uint32_t tokens) { return {tokens, c.width, c.experts}; }
inline TopkParams topk_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.experts, c.experts_used, c.renormalise ? 1u : 0u};
}
inline GateUpParams gate_up_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.experts_used, c.experts, c.width, c.ff};
}
inline SwigluParams swiglu_params(const Config& c, std::uint32_t tokens) { return {tokens * c.experts_used, c.ff}; }
inline DownParams down_params(const Config& c, std::uint32_t tokens) {
    return {tokens, c.experts_used, c.experts, c.ff, c.width};
}
inline CombineParams combine_params(const Config& c, std::uint32_t tokens) { return {tokens, c.experts_used, c.width}; }
inline LogitsParams logits_params(const Config& c, std::uint32_t rows) { return {rows, c.width, c.vocab}; }
inline ChooseParams choose_params(const Config& c, std::uint32_t rows) { return {rows, c.vocab}; }

}  // namespace qwen3moe
