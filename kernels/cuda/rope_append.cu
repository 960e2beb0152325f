// Per-head RMSNorm of Q and K, rotation by position, and K and V into the cache as X16: a warp for each head.
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

// A lane holds elements lane + 32 i of a head of 32 N, and so both of a rotated pair.
template <int N>
__device__ __forceinline__ void norm_and_rotate(const RopeAppendParams& p, float (&x)[N], const float* weight,
                                                const float* rope) {
    const uint lane = threadIdx.x & 31;
    constexpr uint kHalf = 16 * N;
    float partial[8] = {};
#pragma unroll
    for (int i = 0; i < N; i++) partial[i] = qm_mul_add(x[i], x[i], partial[i]);
    const float factor = qm_norm_factor(qm_settle(tree256(partial)), p.inverse_head_dim, p.eps);
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        const uint at = lane + 32 * i;
        const float a = qm_norm(x[i], factor, weight[at]);
        const float b = qm_norm(x[i + N / 2], factor, weight[at + kHalf]);
        x[i] = qm_rope_first(a, b, rope[at], rope[at + kHalf]);
        x[i + N / 2] = qm_rope_second(a, b, rope[at], rope[at + kHalf]);
    }
}

// put(element, X); returns the scale.
template <int N, class Put>
__device__ __forceinline__ float quantise_head(const float (&x)[N], Put put) {
    const uint most = warp_amax_bits(x);
    const float inverse = qm_x16_inverse(most);
#pragma unroll
    for (int i = 0; i < N; i++) put((threadIdx.x & 31) + 32 * i, qm_x16(x[i], inverse));
    return qm_x16_scale(most);
}

template <int N>
__global__ void __launch_bounds__(128)
    rope_append_kernel(RopeAppendParams p, float* q, float* k, const float* v, const float* q_norm, const float* k_norm,
                       const float* rope, const Place* places, const CacheView* caches, uint layer, Queries queries) {
    constexpr uint kDim = 32 * N;
    const uint lane = threadIdx.x & 31;
    const uint per_token = p.heads + 2 * p.kv_heads;
    const std::size_t item = std::size_t(blockIdx.x) * 4 + threadIdx.x / 32;
    const uint t = static_cast<uint>(item / per_token);
    const uint h = static_cast<uint>(item % per_token);
    if (t >= p.tokens) return;
    const Place place = places[t];
    const float* angles = rope + std::size_t(place.position) * kDim;
    const bool is_q = h < p.heads;
    const bool is_k = !is_q && h < p.heads + p.kv_heads;
    const uint kv = h - p.heads - (is_k ? 0 : p.kv_heads);
    const std::size_t head = is_q ? std::size_t(t) * p.heads + h : std::size_t(t) * p.kv_heads + kv;

    const float* from = (is_q ? q : (is_k ? k : v)) + head * kDim;
    float x[N];
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = from[lane + 32 * i];
    if (is_q || is_k) {
        norm_and_rotate(p, x, is_q ? q_norm : k_norm, angles);
        float* to = (is_q ? q : k) + head * kDim;
#pragma unroll
        for (int i = 0; i < N; i++) to[lane + 32 * i] = x[i];
    }
    if (is_q) {
        const float scale = quantise_head(x, [&](uint i, int X) {
            queries.high[head * kDim + i] = static_cast<std::int8_t>(qm_x16_high(X));
            queries.low[head * kDim + i] = static_cast<std::int8_t>(qm_x16_low(X));
        });
        if (lane == 0) queries.scale[head] = qm_mul(scale, p.score_scale);
        return;
    }
    const CacheView cache = caches[place.sequence];
    const std::size_t row = (std::size_t(layer) * p.kv_heads + kv) * cache.context + place.position;
    if (is_k) {
        std::int8_t* to = cache.k + row * 2 * kDim;
        const float scale = quantise_head(x, [&](uint i, int X) {
            to[i] = static_cast<std::int8_t>(qm_x16_high(X));
            to[kDim + i] = static_cast<std::int8_t>(qm_x16_low(X));
        });
        if (lane == 0) cache.k_scale[row] = scale;
    } else {
        std::int16_t* to = cache.v + row * kDim;
        const float scale = quantise_head(x, [&](uint i, int X) { to[i] = static_cast<std::int16_t>(X); });
        if (lane == 0) cache.v_scale[row] = scale;
    }
}

}  // namespace

cudaError_t rope_append(const RopeAppendParams& p, float* q, float* k, const float* v, const float* q_norm,
                        const float* k_norm, const float* rope, const Place* places, const CacheView* caches,
                        uint layer, const Queries& queries, cudaStream_t stream) {
    const auto kernel = p.head_dim == 64 ? rope_append_kernel<2> : rope_append_kernel<4>;
    const std::size_t items = std::size_t(p.tokens) * (p.heads + 2 * p.kv_heads);
    kernel<<<static_cast<unsigned>((items + 3) / 4), 128, 0, stream>>>(p, q, k, v, q_norm, k_norm, rope, places, caches,
                                                                       layer, queries);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
