// The tensors of a model by their role: views into the file, with shapes that the config and the kernels can rely on.
#pragma once

#include <vector>

#include "gguf/file.h"
#include "model/config.h"

namespace qwen3moe {

struct LayerWeights {
    const gguf::Tensor* attn_norm;  // [width]
    const gguf::Tensor* q;          // [heads * head_dim, width]
    const gguf::Tensor* k;          // [kv_heads * head_dim, width]
    const gguf::Tensor* v;          // [kv_heads * head_dim, width]
    const gguf::Tensor* q_norm;     // [head_dim]
    const gguf::Tensor* k_norm;     // [head_dim]
    const gguf::Tensor* output;     // [width, heads * head_dim]
    const gguf::Tensor* ffn_norm;   // [width]
    const gguf::Tensor* router;     // [experts, width]
    const gguf::Tensor* gate;       // [experts, ff, width]
    const gguf::Tensor* up;         // [experts, ff, width]
    const gguf::Tensor* down;       // [experts, width, ff]
};

struct Weights {
    const gguf::Tensor* embedding;    // [vocab, width]
    const gguf::Tensor* output_norm;  // [width]
    const gguf::Tensor* head;         // [vocab, width]; the embedding itself where the file ties them
    std::vector<LayerWeights> layers;
};

// Throws GGUFError for a tensor that is missing, has another shape, or that the model has no use for.
Weights read_weights(const gguf::File& file, const Config& config);

}  // namespace qwen3moe
