// Per-head RMSNorm of Q and K, rotation by position, and K and V into the cache as X16.
#include "cpu/quantise.h"
#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

// rope: [position][head_dim], the cosines of the half head, then its sines.
QM_FN void norm_and_rotate(const RopeAppendParams& p, float* head, const float* weight, const float* rope) {
    const std::uint32_t half = p.head_dim / 2;
    const float squares = dot256(p.head_dim, [head](std::uint32_t i) { return head[i]; }, head);
    const float factor = qm_norm_factor(squares, p.inverse_head_dim, p.eps);
    for (std::uint32_t i = 0; i < half; i++) {
        const float a = qm_norm(head[i], factor, weight[i]);
        const float b = qm_norm(head[i + half], factor, weight[i + half]);
        head[i] = qm_rope_first(a, b, rope[i], rope[i + half]);
        head[i + half] = qm_rope_second(a, b, rope[i], rope[i + half]);
    }
}

// One key into its lane of its group.
QM_FN void put_key(const std::int16_t* x, std::uint32_t dim, std::uint32_t position, std::int16_t* keys) {
    std::int16_t* group = keys + std::size_t(position / kKeyGroup) * kKeyGroup * dim + 2 * (position % kKeyGroup);
    for (std::uint32_t i = 0; i < dim; i += 2) {
        group[i * kKeyGroup] = x[i];
        group[i * kKeyGroup + 1] = x[i + 1];
    }
}

// One value between those of its neighbour.
QM_FN void put_value(const std::int16_t* x, std::uint32_t dim, std::uint32_t position, std::int16_t* values) {
    std::int16_t* pair = values + std::size_t(position / 2) * 2 * dim + position % 2;
    for (std::uint32_t i = 0; i < dim; i++) pair[2 * i] = x[i];
}

}  // namespace

void rope_append(const RopeAppendParams& p, float* q, float* k, const float* v, const float* q_norm,
                 const float* k_norm, const float* rope, const Place* places, const KvLayer* caches,
                 const Queries& queries, Range range) {
    const std::uint32_t dim = p.head_dim;
    const std::uint32_t per_token = p.heads + 2 * p.kv_heads;
    for (std::uint32_t item = range.first; item < range.last; item++) {
        const std::uint32_t t = item / per_token;
        const std::uint32_t h = item % per_token;
        const Place place = places[t];
        const float* angles = rope + std::size_t(place.position) * dim;
        if (h < p.heads) {
            const std::size_t index = std::size_t(t) * p.heads + h;
            norm_and_rotate(p, q + index * dim, q_norm, angles);
            const float scale =
                quantise_digits(q + index * dim, dim, queries.high + index * dim, queries.low + index * dim);
            queries.scale[index] = qm_mul(scale, p.score_scale);
            continue;
        }
        const KvLayer& cache = caches[place.sequence];
        const bool is_k = h < p.heads + p.kv_heads;
        const std::uint32_t kv = h - p.heads - (is_k ? 0 : p.kv_heads);
        const std::size_t first = std::size_t(kv) * cache.rows;
        const std::size_t head = (std::size_t(t) * p.kv_heads + kv) * dim;
        std::int16_t x[256];
        if (is_k) {
            norm_and_rotate(p, k + head, k_norm, angles);
            cache.k_scale[first + place.position] = quantise_whole(k + head, dim, x);
            put_key(x, dim, place.position, cache.k + first * dim);
        } else {
            cache.v_scale[first + place.position] = quantise_whole(v + head, dim, x);
            put_value(x, dim, place.position, cache.v + first * dim);
        }
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
