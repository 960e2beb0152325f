// Per-head RMSNorm of Q and K, rotation by position, and K and V into the cache as X16: a warp for each head.
#include "cuda/heads.cuh"
#include "cuda/launch.cuh"

namespace qwen3moe::cuda {
namespace {

template <int N>
__global__ void __launch_bounds__(128)
    rope_append_kernel(RopeAppendParams p, float* q, float* k, const float* v, const float* q_norm, const float* k_norm,
                       const float* rope, const Place* places, const CacheView* caches, uint layer, Queries queries) {
    after_step_before();
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

    float x[N];
    load_head((is_q ? q : (is_k ? k : v)) + head * kDim, x);
    if (is_q || is_k) {
        norm_and_rotate(p, x, is_q ? q_norm : k_norm, angles);
        float* to = (is_q ? q : k) + head * kDim;
#pragma unroll
        for (int i = 0; i < N; i++) to[lane + 32 * i] = x[i];
    }
    if (is_q) {
        const float scale = quantise_head(x, [&](uint i, std::int8_t high, std::int8_t low) {
            queries.high[head * kDim + i] = high;
            queries.low[head * kDim + i] = low;
        });
        if (lane == 0) queries.scale[head] = qm_mul(scale, p.score_scale);
        return;
    }
    const CacheView cache = caches[place.sequence];
    const std::size_t row = cache.row(layer, p.kv_heads, kv);
    if (is_k)
        append_k(x, cache, row, place.position, [](uint, std::int8_t, std::int8_t) {});
    else
        append_v(x, cache, row, place.position);
}

}  // namespace

cudaError_t rope_append(const RopeAppendParams& p, float* q, float* k, const float* v, const float* q_norm,
                        const float* k_norm, const float* rope, const Place* places, const CacheView* caches,
                        uint layer, const Queries& queries, cudaStream_t stream) {
    const auto kernel = p.head_dim == 64 ? rope_append_kernel<2> : rope_append_kernel<4>;
    const std::size_t items = std::size_t(p.tokens) * (p.heads + 2 * p.kv_heads);
    return launch(kernel, static_cast<unsigned>((items + 3) / 4), 128, stream, p, q, k, v, q_norm, k_norm, rope, places,
                  caches, layer, queries);
}

}  // namespace qwen3moe::cuda
