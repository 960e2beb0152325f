// Causal attention of one token: its keys in blocks of 256, each block's softmax and P.V, merged left to right.
#include "cpu/quantise.h"
#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

constexpr std::uint32_t kBlock = 256;
constexpr std::uint32_t kMaxHead = 128;

// sum over the head of K times one digit of Q
QM_FN std::int32_t digit_dot(const std::int16_t* digit, const std::int16_t* k, std::uint32_t dim) {
    std::int32_t sum = 0;
    for (std::uint32_t i = 0; i < dim; i++) sum += std::int32_t(digit[i]) * std::int32_t(k[i]);
    return sum;
}

// out[c] = the block's sum over its keys of weight_j * V_jc
QM_FN void weighted_values(const std::int16_t* high, const std::int16_t* low, float scale, const std::int16_t* v,
                           std::uint32_t keys, std::uint32_t dim, float* out) {
    alignas(64) std::int32_t sum_high[kMaxHead] = {};
    alignas(64) std::int32_t sum_low[kMaxHead] = {};
    for (std::uint32_t j = 0; j < keys; j++)
        for (std::uint32_t c = 0; c < dim; c++) {
            sum_high[c] += std::int32_t(high[j]) * std::int32_t(v[j * dim + c]);
            sum_low[c] += std::int32_t(low[j]) * std::int32_t(v[j * dim + c]);
        }
    for (std::uint32_t c = 0; c < dim; c++) out[c] = qm_block_value(scale, sum_high[c], sum_low[c]);
}

// One head of one token over keys 0 .. position.
QM_FN void attend(const std::int16_t* q_high, const std::int16_t* q_low, float q_scale, const KvLayer& cache,
                  std::uint32_t kv, std::uint32_t position, std::uint32_t dim, float* out) {
    const std::size_t head = std::size_t(kv) * cache.context;
    float maximum = QM_SCORE_FLOOR;
    float total = 0.0f;
    alignas(64) float running[kMaxHead] = {};
    for (std::uint32_t first = 0; first <= position; first += kBlock) {
        const std::uint32_t keys = position + 1 - first < kBlock ? position + 1 - first : kBlock;
        const std::size_t row = head + first;

        alignas(64) float p[kBlock] = {};
        float block_maximum = QM_SCORE_FLOOR;
        for (std::uint32_t j = 0; j < keys; j++) {
            const std::int16_t* k = cache.k + (row + j) * dim;
            p[j] = qm_score(q_scale, cache.k_scale[row + j], digit_dot(q_high, k, dim), digit_dot(q_low, k, dim));
            block_maximum = qm_max(p[j], block_maximum);
        }
        for (std::uint32_t j = 0; j < keys; j++) p[j] = qm_probability(p[j], block_maximum);

        alignas(64) float scaled[kBlock] = {};
        alignas(64) std::int16_t high[kBlock], low[kBlock];
        for (std::uint32_t j = 0; j < keys; j++) scaled[j] = qm_mul(p[j], cache.v_scale[row + j]);
        const float scale = quantise_digits(scaled, kBlock, high, low);
        alignas(64) float block[kMaxHead];
        weighted_values(high, low, scale, cache.v + row * dim, keys, dim, block);

        const float next = qm_max(block_maximum, maximum);
        const float keep = qm_exp(qm_sub(maximum, next));
        const float gain = qm_exp(qm_sub(block_maximum, next));
        total = qm_merge(total, keep, tree256(p), gain);
        for (std::uint32_t c = 0; c < dim; c++) running[c] = qm_merge(running[c], keep, block[c], gain);
        maximum = next;
    }
    const float inverse = qm_recip(total);
    for (std::uint32_t c = 0; c < dim; c++) out[c] = qm_mul(running[c], inverse);
}

}  // namespace

void attention(const AttentionParams& p, const Queries& queries, const Place* places, const KvLayer* caches,
               const MutableRows& out, Range range) {
    const std::uint32_t dim = p.head_dim;
    const std::uint32_t blocks = out.blocks_per_row();
    const std::uint32_t heads_per_block = 256 / dim;
    for (std::uint32_t item = range.first; item < range.last; item++) {
        const std::uint32_t t = item / blocks;
        const std::uint32_t block = item % blocks;
        const Place place = places[t];
        const std::uint32_t h0 = block * heads_per_block;
        const std::uint32_t h1 = h0 + heads_per_block < p.heads ? h0 + heads_per_block : p.heads;
        for (std::uint32_t h = h0; h < h1; h++) {
            const std::size_t index = std::size_t(t) * p.heads + h;
            attend(queries.high + index * dim, queries.low + index * dim, queries.scale[index], caches[place.sequence],
                   h / (p.heads / p.kv_heads), place.position, dim, out.values + index * dim);
        }
        quantise_row(out.values + (std::size_t(t) * p.heads + h0) * dim, (h1 - h0) * dim,
                     out.blocks + std::size_t(t) * blocks + block);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
