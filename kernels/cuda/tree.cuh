// Float sums over a row, in the one order that the contract gives them.
#pragma once

#include <cstdint>

#include "shared/arithmetic.h"

namespace qwen3moe::cuda {

inline constexpr uint kAllLanes = 0xffffffffu;

// The halving tree over 256 partial sums, of which a lane holds those of index lane + 32 j; every lane gets the sum.
__device__ __forceinline__ float tree256(const float (&p)[8]) {
    const float a = qm_add(qm_add(p[0], p[4]), qm_add(p[2], p[6]));
    const float b = qm_add(qm_add(p[1], p[5]), qm_add(p[3], p[7]));
    float sum = qm_add(a, b);
#pragma unroll
    for (int half = 16; half > 0; half /= 2) sum = qm_add(sum, __shfl_xor_sync(kAllLanes, sum, half));
    return sum;
}

// The same for sums that lie in shared memory.
__device__ __forceinline__ float tree256(const float* partial) {
    float all[8];
#pragma unroll
    for (uint j = 0; j < 8; j++) all[j] = partial[(threadIdx.x & 31) + 32 * j];
    return tree256(all);
}

// The same for a block of 256 threads that hold one each. `shared`: 256 floats, free again after the next barrier.
__device__ __forceinline__ float tree256(float p, float* shared) {
    shared[threadIdx.x] = p;
    __syncthreads();
    return tree256(static_cast<const float*>(shared));
}

}  // namespace qwen3moe::cuda
