// What a Qwen3-MoE file says about its model, checked. Nothing about any particular model is built in.
#pragma once

#include <cstdint>

#include "gguf/file.h"

namespace qwen3moe {

struct Config {
    std::uint32_t layers;
    std::uint32_t width;  // of the residual
    std::uint32_t heads;  // of Q; a multiple of kv_heads
    std::uint32_t kv_heads;
    std::uint32_t head_dim;  // 64 or 128
    std::uint32_t experts;
    std::uint32_t experts_used;
    std::uint32_t ff;  // width of one expert
    std::uint32_t vocab;
    std::uint32_t context;  // that the model was trained for
    float eps;
    double rope_base;
    bool renormalise;  // the chosen experts' weights are scaled to sum to 1

    std::uint32_t q_rows() const { return heads * head_dim; }
    std::uint32_t kv_rows() const { return kv_heads * head_dim; }
};

// Throws GGUFError naming the key and what it should have been.
Config read_config(const gguf::File& file);

}  // namespace qwen3moe
