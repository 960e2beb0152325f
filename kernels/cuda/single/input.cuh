// The row of activations that a kernel works on, as X16 in shared memory: every block of threads makes its own, which
// takes less time than a kernel that makes it for all.
#pragma once

#include "cuda/quantise.cuh"
#include "cuda/rows.cuh"

namespace qwen3moe::cuda {

inline constexpr uint kThreads = 512;  // of a block
inline constexpr uint kWarps = kThreads / 32;

// Runs of sixteen lie in the order in which the lanes of a format take them: lane k run k, then run 8 + k.
struct Input {
    std::int8_t* high;  // [blocks][16][16]
    std::int8_t* low;   // [blocks][16][16]
    int* sums;          // [blocks][16]
    float* scale;       // [blocks]

    __device__ Input(char* shared, uint blocks)
        : high(reinterpret_cast<std::int8_t*>(shared)),
          low(high + 256 * blocks),
          sums(reinterpret_cast<int*>(low + 256 * blocks)),
          scale(reinterpret_cast<float*>(sums + 16 * blocks)) {}
    static constexpr __host__ __device__ uint bytes(uint blocks) { return (blocks * (512 + 64 + 4) + 15) / 16 * 16; }

    __device__ __forceinline__ Runs runs(uint block, uint k) const {
        const int4* high4 = reinterpret_cast<const int4*>(high) + block * 16 + k;
        const int4* low4 = reinterpret_cast<const int4*>(low) + block * 16 + k;
        const int* sum = sums + block * 16 + k;
        return {{high4[0], high4[8]}, {low4[0], low4[8]}, {sum[0], sum[8]}};
    }
};

// One block by one warp; a lane holds values 8 lane .. 8 lane + 7.
template <class Format>
__device__ __forceinline__ void keep_block(const float (&x)[8], const Input& in, uint block) {
    const uint lane = threadIdx.x & 31;
    const Packed packed = pack256(x);
    const uint place = block * 16 + Format::place(lane / 2);
    reinterpret_cast<uint2*>(in.high)[place * 2 + (lane & 1)] = packed.high;
    reinterpret_cast<uint2*>(in.low)[place * 2 + (lane & 1)] = packed.low;
    if ((lane & 1) == 0) in.sums[place] = packed.sum;
    if (lane == 0) in.scale[block] = packed.scale;
}

// `rows` rows of `columns` floats, each in blocks of its own; zeros past a row's end. Ends with a barrier.
template <class Format>
__device__ __forceinline__ void quantise_input(const float* x, uint rows, uint columns, const Input& in) {
    constexpr uint kTogether = 2;  // blocks whose loads a warp waits for once
    const uint first = 8 * (threadIdx.x & 31);
    const uint blocks = (columns + 255) / 256;
    for (uint i = threadIdx.x / 32; i < rows * blocks; i += kTogether * kWarps) {
        float value[kTogether][8];
#pragma unroll
        for (uint n = 0; n < kTogether; n++) {
            const uint at = i + n * kWarps;
            if (at < rows * blocks)
                load8(x + std::size_t(at / blocks) * columns, columns, 256 * (at % blocks) + first, value[n]);
        }
#pragma unroll
        for (uint n = 0; n < kTogether; n++)
            if (i + n * kWarps < rows * blocks) keep_block<Format>(value[n], in, i + n * kWarps);
    }
    __syncthreads();
}

// RMSNorm of one row, in two steps so that other work can go between them.
struct NormInput {
    const float* x;
    const float* weight;
    uint width;
    float inverse_width;
    float eps;

    // The row and its 256 partial sums of squares to shared memory.
    __device__ __forceinline__ void load(float* row, float* partial) const {
        if (threadIdx.x >= 256) return;
        float squares = 0.0f;
#pragma unroll 8
        for (uint i = threadIdx.x; i < width; i += 256) {
            const float value = x[i];
            row[i] = value;
            squares = qm_mul_add(value, value, squares);
        }
        partial[threadIdx.x] = squares;
    }
    // After a barrier: every thread gets it.
    __device__ __forceinline__ float factor(const float* partial) const {
        return qm_norm_factor(qm_settle(tree256(partial)), inverse_width, eps);
    }
    // Ends with a barrier.
    template <class Format>
    __device__ __forceinline__ void quantise(const float* row, float factor, const Input& in) const {
        for (uint block = threadIdx.x / 32; block < (width + 255) / 256; block += kWarps) {
            const uint first = 256 * block + 8 * (threadIdx.x & 31);
            float value[8], scale[8];
            load8(row, width, first, value);
            load8(weight, width, first, scale);
#pragma unroll
            for (uint j = 0; j < 8; j++) value[j] = qm_norm(value[j], factor, scale[j]);
            keep_block<Format>(value, in, block);
        }
        __syncthreads();
    }
};

}  // namespace qwen3moe::cuda
