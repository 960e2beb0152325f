// Heads of Q and K: RMSNorm, rotation by position, X16; a warp for each, and V likewise but for the first two.
#pragma once

#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {

// A lane holds elements lane + 32 i of a head of 32 N, and so both of a rotated pair.
template <int N>
__device__ __forceinline__ void load_head(const float* from, float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = from[(threadIdx.x & 31) + 32 * i];
}

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

// put(element, high, low) of every element; returns the scale.
template <int N, class Put>
__device__ __forceinline__ float quantise_head(const float (&x)[N], Put put) {
    const uint most = warp_amax_bits(x);
    const float inverse = qm_x16_inverse(most);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const int q = qm_x16(x[i], inverse);
        put((threadIdx.x & 31) + 32 * i, static_cast<std::int8_t>(qm_x16_high(q)),
            static_cast<std::int8_t>(qm_x16_low(q)));
    }
    return qm_x16_scale(most);
}

// A head of K or of V to its place in the cache. row: of the head's first position; position: where it goes.
// also(element, high, low) sees it too. Both return the scale.
template <int N, class Also>
__device__ __forceinline__ float append_k(const float (&x)[N], const CacheView& cache, std::size_t row, uint position,
                                          Also also) {
    constexpr uint kDim = 32 * N;
    std::int8_t* to = cache.k + (row + position) * 2 * kDim;
    const float scale = quantise_head(x, [&](uint i, std::int8_t high, std::int8_t low) {
        to[i] = high;
        to[kDim + i] = low;
        also(i, high, low);
    });
    if ((threadIdx.x & 31) == 0) cache.k_scale[row + position] = scale;
    return scale;
}
template <int N>
__device__ __forceinline__ float append_v(const float (&x)[N], const CacheView& cache, std::size_t row, uint position) {
    constexpr uint kDim = 32 * N;
    std::int8_t* to = cache.v + row * 2 * kDim + v_offset(position, kDim);
    const float scale = quantise_head(x, [&](uint i, std::int8_t high, std::int8_t low) {
        to[kRun * i] = high;
        to[kRun * (kDim + i)] = low;
    });
    if ((threadIdx.x & 31) == 0) cache.v_scale[row + position] = scale;
    return scale;
}

}  // namespace qwen3moe::cuda
