// The row of activations that a kernel works on, as X16 in shared memory: every block of threads makes its own, which
// takes less time than a kernel that makes it for all.
#pragma once

#include "cuda/quantise.cuh"
#include "cuda/single/slot.cuh"

namespace qwen3moe::cuda {

inline constexpr uint kThreads = 512;  // of a block
inline constexpr uint kWarps = kThreads / 32;

// The threads that make the input of a norm: one for each of its 256 partial sums. The others are free meanwhile.
inline constexpr uint kMakers = 256;
static_assert(kThreads == 2 * kMakers);

// A barrier of the makers, and one of the others.
__device__ __forceinline__ void makers_meet() { asm volatile("bar.sync 1, %0;" ::"n"(kMakers) : "memory"); }
__device__ __forceinline__ void others_meet() { asm volatile("bar.sync 2, %0;" ::"n"(kMakers) : "memory"); }

// Values that share a scale.
template <class Format>
constexpr __host__ __device__ uint sub_block() {
    if constexpr (Format::kSuper)
        return Format::kRun;
    else
        return 32;
}

// What the integer sums of a format start from or go with, for each sub-block of values with one scale: -bias times the
// sums of both digits, or the sum of X.
struct Input {
    std::int8_t* digits;  // [2][blocks][256], the second 16 bytes further on, for banks of their own
    int2* sums;           // [blocks][16]
    float* scale;         // [blocks]
    uint blocks;

    __device__ Input(char* shared, uint n)
        : digits(reinterpret_cast<std::int8_t*>(shared)),
          sums(reinterpret_cast<int2*>(digits + 512 * n + 16)),
          scale(reinterpret_cast<float*>(sums + 16 * n)),
          blocks(n) {}
    static constexpr __host__ __device__ uint bytes(uint blocks) {
        return (blocks * (512 + 128 + 4) + 16 + 15) / 16 * 16;
    }

    __device__ __forceinline__ std::int8_t* digit(uint which, uint block) const {
        return digits + which * (256 * blocks + 16) + 256 * block;
    }
};

__device__ __forceinline__ int sum4(uint bytes, int sum) { return __dp4a(static_cast<int>(bytes), 0x01010101, sum); }

// One block by one warp; a lane holds values 8 lane .. 8 lane + 7.
template <class Format>
__device__ __forceinline__ void keep_block(const float (&x)[8], const Input& in, uint block) {
    const uint lane = threadIdx.x & 31;
    const Packed packed = pack256(x);
    reinterpret_cast<uint2*>(in.digit(0, block))[lane] = packed.high;
    reinterpret_cast<uint2*>(in.digit(1, block))[lane] = packed.low;
    constexpr uint kSub = sub_block<Format>();
    constexpr int kBias = Words<Format>::kBias;
    if constexpr (Format::kMin || kBias != 0) {
        int all = packed.sum;
        int high = sum4(packed.high.y, sum4(packed.high.x, 0));
        high += __shfl_xor_sync(kAllLanes, high, 1);
        if constexpr (kSub == 32) {
            all += __shfl_xor_sync(kAllLanes, all, 2);
            high += __shfl_xor_sync(kAllLanes, high, 2);
        }
        if (lane % (kSub / 8) == 0)
            in.sums[block * 16 + lane / (kSub / 8)] =
                Format::kMin ? make_int2(all, 0) : make_int2(-kBias * high, -kBias * (all - 256 * high));
    }
    if (lane == 0) in.scale[block] = packed.scale;
}

// `rows` rows of `columns` floats, each in blocks of its own; zeros past a row's end. meanwhile() is done while the
// first of them are on their way. Wants a barrier after it.
template <class Format, class Meanwhile>
__device__ __forceinline__ void quantise_input(const float* x, uint rows, uint columns, const Input& in,
                                               Meanwhile meanwhile) {
    const uint first = 8 * (threadIdx.x & 31);
    const uint blocks = (columns + 255) / 256;
    const auto load = [&](uint i, float (&value)[8]) {
        if (i < rows * blocks) load8(x + std::size_t(i / blocks) * columns, columns, 256 * (i % blocks) + first, value);
    };
    float now[8], next[8];
    load(threadIdx.x / 32, next);
    meanwhile();
#pragma unroll 1
    for (uint i = threadIdx.x / 32; i < rows * blocks; i += kWarps) {
#pragma unroll
        for (uint j = 0; j < 8; j++) now[j] = next[j];
        load(i + kWarps, next);
        keep_block<Format>(now, in, i);
    }
}

// RMSNorm of one row.
struct NormInput {
    const float* x;
    const float* weight;
    uint width;
    float inverse_width;
    float eps;

    // What a lane needs of the weights for its warp's first block: before the step before has ended.
    __device__ __forceinline__ void load_scale(float (&scale)[8]) const {
        if (threadIdx.x < kMakers) load8(weight, width, 256 * (threadIdx.x / 32) + 8 * (threadIdx.x & 31), scale);
    }
    // After a barrier: every thread gets it.
    __device__ __forceinline__ float factor(const float* partial) const {
        return qm_norm_factor(qm_settle(tree256(partial)), inverse_width, eps);
    }
    // By the makers. row and partial: in shared memory, for the row and for its 256 sums of squares. Wants a barrier of
    // all threads after it.
    template <class Format>
    __device__ __forceinline__ void make(float* row, float* partial, float (&scale)[8], const Input& in) const {
        float squares = 0.0f;
#pragma unroll 8
        for (uint i = threadIdx.x; i < width; i += kMakers) {
            const float value = x[i];
            row[i] = value;
            squares = qm_mul_add(value, value, squares);
        }
        partial[threadIdx.x] = squares;
        makers_meet();
        const float by = factor(partial);
        constexpr uint kAtOnce = kMakers / 32;
#pragma unroll 1
        for (uint block = threadIdx.x / 32; block < in.blocks; block += kAtOnce) {
            const uint first = 256 * block + 8 * (threadIdx.x & 31);
            float value[8];
            load8(row, width, first, value);
            if (block >= kAtOnce) load8(weight, width, first, scale);
#pragma unroll
            for (uint j = 0; j < 8; j++) value[j] = qm_norm(value[j], by, scale[j]);
            keep_block<Format>(value, in, block);
        }
    }
};

}  // namespace qwen3moe::cuda
