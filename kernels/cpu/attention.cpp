// Causal attention of one token: its keys in blocks of 256, each block's softmax and P.V, merged left to right.
#include "cpu/quantise.h"
#include "cpu/step_functions.h"
#include "cpu/tree.h"
#include "shared/blocks.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

constexpr std::uint32_t kBlock = 256;
constexpr std::uint32_t kMaxHead = 128;

// Integer dots over groups of 32 dimensions, then their halving tree: head_dim is 64 or 128.
QM_FN float score_sum(const std::int16_t* q, const std::int16_t* k, std::uint32_t dim) {
    float f[4];
    for (std::uint32_t g = 0; g < dim / QM_GROUP_HEAD; g++) {
        std::int32_t sum = 0;
        for (int i = 0; i < QM_GROUP_HEAD; i++)
            sum += std::int32_t(q[g * QM_GROUP_HEAD + i]) * std::int32_t(k[g * QM_GROUP_HEAD + i]);
        f[g] = float(sum);
    }
    return dim == 128 ? qm_sum4(f[0], f[1], f[2], f[3]) : qm_sum2(f[0], f[1]);
}

// out[c] = the halving tree over the eight groups of 32 keys of sum_j weight_j * V_jc
QM_FN void weighted_values(const std::int16_t* weight, const std::int16_t* v, std::uint32_t keys, std::uint32_t dim,
                           float* out) {
    alignas(64) float f[8][kMaxHead] = {};
    for (std::uint32_t g = 0; g * QM_GROUP_HEAD < keys; g++) {
        alignas(64) std::int32_t sum[kMaxHead] = {};
        const std::uint32_t last = (g + 1) * QM_GROUP_HEAD < keys ? (g + 1) * QM_GROUP_HEAD : keys;
        for (std::uint32_t j = g * QM_GROUP_HEAD; j < last; j++)
            for (std::uint32_t c = 0; c < dim; c++) sum[c] += std::int32_t(weight[j]) * std::int32_t(v[j * dim + c]);
        for (std::uint32_t c = 0; c < dim; c++) f[g][c] = float(sum[c]);
    }
    for (std::uint32_t c = 0; c < dim; c++)
        out[c] = qm_sum8(f[0][c], f[1][c], f[2][c], f[3][c], f[4][c], f[5][c], f[6][c], f[7][c]);
}

// One head of one token over keys 0 .. position.
QM_FN void attend(const std::int16_t* q, float q_scale, const KvLayer& cache, std::uint32_t kv, std::uint32_t position,
                  std::uint32_t dim, float* out) {
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
            p[j] = qm_score(q_scale, cache.k_scale[row + j], score_sum(q, cache.k + (row + j) * dim, dim));
            block_maximum = qm_max(p[j], block_maximum);
        }
        for (std::uint32_t j = 0; j < keys; j++) p[j] = qm_probability(p[j], block_maximum);

        alignas(64) float scaled[kBlock] = {};
        alignas(64) std::int16_t weight[kBlock];
        for (std::uint32_t j = 0; j < keys; j++) scaled[j] = qm_mul(p[j], cache.v_scale[row + j]);
        const float weight_scale = quantise_block(scaled, kBlock, weight);
        alignas(64) float block[kMaxHead];
        weighted_values(weight, cache.v + row * dim, keys, dim, block);

        const float next = qm_max(block_maximum, maximum);
        const float keep = qm_exp(qm_sub(maximum, next));
        const float gain = qm_exp(qm_sub(block_maximum, next));
        total = qm_merge(total, keep, tree256(p), gain);
        for (std::uint32_t c = 0; c < dim; c++)
            running[c] = qm_merge(running[c], keep, qm_mul(weight_scale, block[c]), gain);
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
            attend(queries.q + index * dim, queries.scale[index], caches[place.sequence], h / (p.heads / p.kv_heads),
                   place.position, dim, out.values + index * dim);
        }
        quantise_row(out.values + (std::size_t(t) * p.heads + h0) * dim, (h1 - h0) * dim,
                     out.blocks + std::size_t(t) * blocks + block);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
