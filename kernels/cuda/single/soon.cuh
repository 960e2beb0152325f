// Asks for what is read soon to come from memory to the cache, while the step before is still at work. A hint: no
// result depends on it.
#pragma once

#include "cuda/single/steps.h"

namespace qwen3moe::cuda {

// A kernel's parameters come from memory too when they are first read, each 64 bytes for itself. By one warp.
template <class Parameters>
__device__ __forceinline__ void fetch_soon(const Parameters& parameters) {
    const char* from = reinterpret_cast<const char*>(&parameters);
    for (uint i = 64 * (threadIdx.x & 31); i < sizeof(Parameters); i += 64 * 32)
        asm volatile("" ::"r"(*reinterpret_cast<const uint*>(from + i)));
}

// bytes: a multiple of 16, as is the address.
__device__ __forceinline__ void fetch_soon(const void* from, uint bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#endif
}

}  // namespace qwen3moe::cuda
