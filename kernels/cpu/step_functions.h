// The steps of one variant, as steps.h describes them; table.cpp puts them into its Steps.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

void embed(const EmbedParams&, const Weight&, const std::int32_t* tokens, float* residual, Range tokens_range);
void norm(const NormParams&, const float* x, const float* weight, const MutableRows& out, Range);
void qkv(const QkvParams&, const Weight& q, const Weight& k, const Weight& v, const Rows& in, float* q_out,
         float* k_out, float* v_out, Range);
void rope_append(const RopeAppendParams&, float* q, float* k, const float* v, const float* q_norm, const float* k_norm,
                 const float* rope, const Place*, const KvLayer*, const Queries&, Range);
void attention(const AttentionParams&, std::uint32_t heads, const Queries&, const Place*, const KvLayer*,
               const MutableRows& out, Range);
void output(const OutputParams&, const Weight&, const Rows& in, float* residual, Range);
void router(const RouterParams&, const Weight&, const Rows& in, float* logits, Range);
void topk(const TopkParams&, const float* logits, float* probabilities, std::int32_t* ids, float* weights, Range);
void gate_up(const GateUpParams&, const Weight& gate, const Weight& up, const Rows& in, const ExpertSlots&,
             float* gate_out, float* up_out, Range);
void swiglu(const SwigluParams&, const float* gate, const float* up, const MutableRows& out, Range);
void down(const DownParams&, const Weight&, const Rows& in, const ExpertSlots&, float* out, Range);
void combine(const CombineParams&, const float* expert_out, const float* weights, float* moe_out, float* residual,
             Range);
void logits(const LogitsParams&, const Weight&, const Rows& in, float* out, Range);
void choose(const ChooseParams&, const float* logits, Choice* out, Range);

void call(std::uint32_t function, const std::uint32_t* arguments, std::uint32_t* out, std::size_t n);
QmHash selftest(const HashParams&);
void quantise(const float* x, std::uint32_t n, X16Block* out);
void dequantise(const Weight&, std::uint32_t row, float* out);
void dot(const Weight&, Range rows, const Rows& in, std::uint32_t tokens, float* out, std::size_t stride);

}  // namespace qwen3moe::cpu::QM_SIMD
