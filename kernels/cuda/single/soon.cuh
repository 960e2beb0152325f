// Asks for what is read soon to come from memory to the cache: what the next kernel reads where that depends on this
// one, and parameters and small weights of this one before the step before has ended. A hint: no result depends on it.
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

// A matrix cut into even shares for the blocks of threads of a grid.
struct Shares {
    const std::uint8_t* plane[4];
    std::size_t bytes[4];  // of one matrix
    uint share[4];         // bytes
};

inline Shares shares_of(const Weight& w, uint rows, uint grid) {
    Shares s{};
    for (uint i = 0; i < 4; i++) {
        s.plane[i] = w.plane[i];
        s.bytes[i] = std::size_t(rows) * w.row_bytes[i] / 16 * 16;
        s.share[i] = static_cast<uint>((s.bytes[i] / grid / 128 + 1) * 128);
    }
    return s;
}

// This block's share of one plane of matrix `matrix`, by the calling thread.
__device__ __forceinline__ void fetch_soon(const Shares& s, uint plane, std::size_t matrix) {
    const std::size_t from = std::size_t(s.share[plane]) * blockIdx.x;
    if (!s.plane[plane] || from >= s.bytes[plane]) return;
    fetch_soon(s.plane[plane] + matrix * s.bytes[plane] + from,
               static_cast<uint>(min(std::size_t(s.share[plane]), s.bytes[plane] - from)));
}

}  // namespace qwen3moe::cuda
