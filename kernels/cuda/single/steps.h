// The decoding of one token: the plan's steps in groups of two or more to a kernel, as one row is so little work that
// starting a kernel costs more. The same bits; each file here does the steps that lead to the one it is named after.
#pragma once

#include "cuda/steps.h"

namespace qwen3moe::cuda {

inline constexpr uint kMostUsed = 32;  // experts of a token

// What these kernels can do; what they cannot is done step by step. They need bulk copies: compute capability 9.
struct SingleShape {
    uint width, ff, used, heads_per_kv;
};
bool fits_single(const SingleShape&);
// Whether a tile of so many parts has room beside so many rows of input, its rows as long as the weights', and floats.
bool fits_tiles(const Weight&, uint parts, uint inputs, uint floats);
bool go_together(const Weight& qk, const Weight& v);  // in one kernel

// norm, qkv
cudaError_t qkv_single(const NormParams&, const QkvParams&, const float* residual, const float* norm, const Weight& q,
                       const Weight& k, const Weight& v, float* q_out, float* k_out, float* v_out, cudaStream_t);
// rope_append, attention but for its X16. done: [kv_heads], zero before and after
cudaError_t attention_single(const RopeAppendParams&, const float* q, const float* k, const float* v,
                             const float* q_norm, const float* k_norm, const float* rope, const Place*,
                             const CacheView*, uint layer, const KeyBlocks&, uint* done, float* out, cudaStream_t);
// output
cudaError_t output_single(const OutputParams&, const Weight&, const float* attention, float* residual, cudaStream_t);
// norm, router; gate_up_read: is set to zero
cudaError_t router_single(const NormParams&, const RouterParams&, const float* residual, const float* norm,
                          const Weight&, float* logits, uint* gate_up_read, cudaStream_t);
// norm, topk, gate_up, swiglu but for its X16; gate_up_read: counts the blocks of threads that have their weights
cudaError_t gate_up_single(const NormParams&, const TopkParams&, const GateUpParams&, const float* residual,
                           const float* norm, const float* logits, const Weight& gate, const Weight& up,
                           std::int32_t* ids, float* weights, float* out, uint* gate_up_read, cudaStream_t);
uint gate_up_blocks(const GateUpParams&);

// Until `count` has come to `all`.
struct Await {
    const uint* count;
    uint all;
};
// down, combine; ids are there when gate_up has read its weights: then it has memory for itself
cudaError_t down_single(const DownParams&, const Weight&, const float* swiglu, const std::int32_t* ids,
                        const float* weights, const Await& gate_up_read, float* residual, cudaStream_t);
// select, norm, logits; flags: residual, logits not finite
cudaError_t logits_single(const NormParams&, const LogitsParams&, const float* residual, const float* norm,
                          const Weight&, uint* flags, float* out, cudaStream_t);

}  // namespace qwen3moe::cuda
