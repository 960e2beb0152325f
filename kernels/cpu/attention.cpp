// Causal attention of one token: its keys in blocks of 256, each block's softmax and P.V, merged left to right. The
// heads that share keys and values go through them together.
#include "cpu/pair_products.h"
#include "cpu/quantise.h"
#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

constexpr std::uint32_t kMaxHead = 128;

// Neighbouring heads of one token that have the same keys and values.
struct Heads {
    const std::int16_t* high;  // [count][dim]
    const std::int16_t* low;
    const float* scale;  // [count]
    std::uint32_t count;
};

// What the blocks so far come to, for each head.
struct State {
    float maximum[kHeadsAtOnce];
    float total[kHeadsAtOnce];
    alignas(64) float running[kHeadsAtOnce][kMaxHead];
};

// A block's scores become the X16 weights of its values.
struct BlockWeights {
    alignas(64) std::int16_t high[kHeadsAtOnce][kBlock];
    alignas(64) std::int16_t low[kHeadsAtOnce][kBlock];
    float scale[kHeadsAtOnce];
    float maximum[kHeadsAtOnce];
    float total[kHeadsAtOnce];
};

// Does it for whole groups of keys, as the cache has them, those past the last one included: loops then are vectors
// without a rest.
template <class Do>
QM_FN void each_key(std::uint32_t keys, Do each) {
    for (std::uint32_t first = 0; first < keys; first += kKeyGroup)
#pragma GCC unroll 1
        for (std::uint32_t j = 0; j < kKeyGroup; j++) each(first + j, j);
}

// In whatever order: a largest value has one, and what is not a number is never larger.
QM_FN float largest(const float* scores, std::uint32_t keys) {
    alignas(64) float most[kKeyGroup];
    for (std::uint32_t j = 0; j < kKeyGroup; j++) most[j] = QM_SCORE_FLOOR;
    each_key(keys / kKeyGroup * kKeyGroup,
             [&](std::uint32_t key, std::uint32_t j) { most[j] = qm_max(scores[key], most[j]); });
    float maximum = QM_SCORE_FLOOR;
    for (std::uint32_t j = 0; j < kKeyGroup; j++) maximum = qm_max(most[j], maximum);
    for (std::uint32_t key = keys / kKeyGroup * kKeyGroup; key < keys; key++) maximum = qm_max(scores[key], maximum);
    return maximum;
}

QM_FN void weigh(const Heads& heads, const KeySums& sums, const float* k_scale, const float* v_scale,
                 std::uint32_t keys, BlockWeights& w) {
    for (std::uint32_t h = 0; h < heads.count; h++) {
        alignas(64) float p[kBlock];
        alignas(64) float scaled[kBlock];
        each_key(keys, [&](std::uint32_t key, std::uint32_t) {
            p[key] = qm_score(heads.scale[h], k_scale[key], sums.high[h][key], sums.low[h][key]);
        });
        const float maximum = largest(p, keys);
        each_key(keys, [&](std::uint32_t key, std::uint32_t) { p[key] = qm_probability(p[key], maximum); });
        each_key(keys, [&](std::uint32_t key, std::uint32_t) { scaled[key] = qm_mul(p[key], v_scale[key]); });
        for (std::uint32_t key = keys; key < kBlock; key++) p[key] = scaled[key] = 0.0f;
        w.scale[h] = quantise_digits(scaled, kBlock, w.high[h], w.low[h]);
        w.maximum[h] = maximum;
        w.total[h] = tree256(p);
    }
}

template <std::uint32_t kDim>
QM_FN void merge(const Heads& heads, const BlockWeights& w, const ValueSums& sums, State& state) {
    for (std::uint32_t h = 0; h < heads.count; h++) {
        const float next = qm_max(w.maximum[h], state.maximum[h]);
        const float keep = qm_exp(qm_sub(state.maximum[h], next));
        const float gain = qm_exp(qm_sub(w.maximum[h], next));
        state.total[h] = qm_merge(state.total[h], keep, w.total[h], gain);
        for (std::uint32_t c = 0; c < kDim; c++)
            state.running[h][c] =
                qm_merge(state.running[h][c], keep, qm_block_value(w.scale[h], sums.high[h][c], sums.low[h][c]), gain);
        state.maximum[h] = next;
    }
}

// Over keys 0 .. position of one KV head.
template <std::uint32_t kDim>
void attend(const Heads& heads, const KvLayer& cache, std::uint32_t kv, std::uint32_t position, float* out) {
    const std::size_t head = std::size_t(kv) * cache.rows;
    State state;
    for (std::uint32_t h = 0; h < heads.count; h++) {
        state.maximum[h] = QM_SCORE_FLOOR;
        state.total[h] = 0.0f;
        for (std::uint32_t c = 0; c < kDim; c++) state.running[h][c] = 0.0f;
    }
    for (std::uint32_t first = 0; first <= position; first += kBlock) {
        const std::uint32_t keys = position + 1 - first < kBlock ? position + 1 - first : kBlock;
        const std::size_t row = head + first;
        KeySums key_sums;
        BlockWeights weights;
        ValueSums value_sums;
        sum_keys<kDim>(heads.count, heads.high, heads.low, cache.k + row * kDim, keys, key_sums);
        weigh(heads, key_sums, cache.k_scale + row, cache.v_scale + row, keys, weights);
        sum_values<kDim>(heads.count, weights.high, weights.low, cache.v + row * kDim, keys, value_sums);
        merge<kDim>(heads, weights, value_sums, state);
    }
    for (std::uint32_t h = 0; h < heads.count; h++) {
        const float inverse = qm_recip(state.total[h]);
        for (std::uint32_t c = 0; c < kDim; c++) out[h * kDim + c] = qm_mul(state.running[h][c], inverse);
    }
}

}  // namespace

void attention(const AttentionParams& p, std::uint32_t heads, const Queries& queries, const Place* places,
               const KvLayer* caches, const MutableRows& out, Range range) {
    const std::uint32_t dim = p.head_dim;
    const std::uint32_t shared = p.heads / p.kv_heads;  // heads of one KV head
    for (std::uint32_t item = range.first; item < range.last; item++) {
        const std::uint32_t t = item % p.tokens;  // neighbours have their keys in common
        const std::uint32_t h0 = item / p.tokens * heads;
        const std::uint32_t h1 = h0 + heads < p.heads ? h0 + heads : p.heads;
        const std::size_t row = std::size_t(t) * p.heads;
        for (std::uint32_t h = h0, last; h < h1; h = last) {
            const std::uint32_t end = (h / shared + 1) * shared;
            last = h + kHeadsAtOnce;
            last = last < end ? last : end;
            last = last < h1 ? last : h1;
            const Heads these{queries.high + (row + h) * dim, queries.low + (row + h) * dim, queries.scale + row + h,
                              last - h};
            const auto attend_of = dim == 64 ? attend<64> : attend<kMaxHead>;
            attend_of(these, caches[places[t].sequence], h / shared, places[t].position, out.values + (row + h) * dim);
        }
        quantise_row(out.values + (row + h0) * dim, (h1 - h0) * dim,
                     out.blocks + std::size_t(t) * out.blocks_per_row() + h0 * dim / 256);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
