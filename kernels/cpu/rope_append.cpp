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
        const std::size_t row = std::size_t(kv) * cache.context + place.position;
        const std::size_t head = (std::size_t(t) * p.kv_heads + kv) * dim;
        if (is_k) {
            norm_and_rotate(p, k + head, k_norm, angles);
            cache.k_scale[row] = quantise_whole(k + head, dim, cache.k + row * dim);
        } else {
            cache.v_scale[row] = quantise_whole(v + head, dim, cache.v + row * dim);
        }
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
