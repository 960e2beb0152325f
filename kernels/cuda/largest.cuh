// The largest of what threads have found, as a key: in its high half a value's bits that order as integers, in its low
// half the complement of the value's index, so that the first among equals has the largest key.
#pragma once

#include "cuda/tree.cuh"

namespace qwen3moe::cuda {

using Key = unsigned long long;

__device__ __forceinline__ Key key_of(uint value, uint index) { return (Key(value) << 32) | (0xffffffffu - index); }
__device__ __forceinline__ uint index_of(Key key) { return 0xffffffffu - static_cast<uint>(key); }

__device__ __forceinline__ Key warp_max(Key x) {
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        const Key other = __shfl_xor_sync(kAllLanes, x, half);
        x = other > x ? other : x;
    }
    return x;
}

// The same for a block of 256 threads. `shared`: of 8, free again after the next barrier.
__device__ __forceinline__ Key block_max(Key x, Key* shared) {
    x = warp_max(x);
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_max(shared[threadIdx.x & 7]);
}

}  // namespace qwen3moe::cuda
