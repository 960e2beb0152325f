// Floats to X16 by one warp: blocks of 256 for matrices, heads for Q, K and V.
#pragma once

#include "cuda/steps.h"
#include "cuda/tree.cuh"

namespace qwen3moe::cuda {

__device__ __forceinline__ uint warp_max(uint x) {
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        const uint other = __shfl_xor_sync(kAllLanes, x, half);
        x = other > x ? other : x;
    }
    return x;
}

// The largest |x| of N values in each lane, as bits: NaN and infinity win, and spoil the block's scale.
template <int N>
__device__ __forceinline__ uint warp_amax_bits(const float (&x)[N]) {
    uint most = 0;
#pragma unroll
    for (int i = 0; i < N; i++) most = qm_abs_bits(x[i]) > most ? qm_abs_bits(x[i]) : most;
    return warp_max(most);
}

// What a lane makes of its 8 of a block's 256 values: 8 lane .. 8 lane + 7.
struct Packed {
    uint2 high, low;
    int sum;      // of X over the run of 16 that it shares with the lane beside it
    float scale;  // the block's
};

__device__ __forceinline__ Packed pack256(const float (&x)[8]) {
    const uint most = warp_amax_bits(x);
    const float inverse = qm_x16_inverse(most);
    uint high[2] = {0, 0}, low[2] = {0, 0};
    int sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int q = qm_x16(x[i], inverse);
        high[i / 4] |= (static_cast<uint>(qm_x16_high(q)) & 255u) << (8 * (i % 4));
        low[i / 4] |= (static_cast<uint>(qm_x16_low(q)) & 255u) << (8 * (i % 4));
        sum += q;
    }
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    return {make_uint2(high[0], high[1]), make_uint2(low[0], low[1]), sum, qm_x16_scale(most)};
}

// A block of 256 values to block `block` of row `row`.
__device__ __forceinline__ void quantise256(const float (&x)[8], const Activations& out, std::size_t row, uint block) {
    const uint lane = threadIdx.x & 31;
    const Packed packed = pack256(x);
    const std::size_t at = row * out.blocks() + block;
    reinterpret_cast<uint2*>(out.high)[at * 32 + lane] = packed.high;
    reinterpret_cast<uint2*>(out.low)[at * 32 + lane] = packed.low;
    if ((lane & 1) == 0) out.sums[at * 16 + lane / 2] = packed.sum;
    if (lane == 0) out.scale[at] = packed.scale;
}

// Eight floats of a row from `first` on; zeros past its end.
__device__ __forceinline__ void load8(const float* row, uint columns, uint first, float (&x)[8]) {
    if (columns % 8 == 0) {
        const float4* from = reinterpret_cast<const float4*>(row + first);
        const float4 a = first < columns ? from[0] : float4{}, b = first < columns ? from[1] : float4{};
        x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
    } else {
#pragma unroll
        for (uint i = 0; i < 8; i++) x[i] = first + i < columns ? row[first + i] : 0.0f;
    }
}

__device__ __forceinline__ void store8(float* row, uint columns, uint first, const float (&x)[8]) {
    if (columns % 8 == 0) {
        float4* to = reinterpret_cast<float4*>(row + first);
        if (first < columns) {
            to[0] = make_float4(x[0], x[1], x[2], x[3]);
            to[1] = make_float4(x[4], x[5], x[6], x[7]);
        }
    } else {
#pragma unroll
        for (uint i = 0; i < 8; i++)
            if (first + i < columns) row[first + i] = x[i];
    }
}

// A block, which is kept as floats too; make(first, x) gives eight values, zeros past the row's end.
template <class Make>
__device__ __forceinline__ void make_block(Make make, const Activations& out, std::size_t row, uint block) {
    const uint first = 256 * block + 8 * (threadIdx.x & 31);
    float x[8];
    make(first, x);
    store8(out.values + row * out.columns, out.columns, first, x);
    quantise256(x, out, row, block);
}

}  // namespace qwen3moe::cuda
