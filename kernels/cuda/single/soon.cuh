// Asks the memory for what the next kernel reads, as it would otherwise rest while this one computes. A hint: no result
// depends on it, and devices before compute capability 9 do without.
#pragma once

#include "cuda/single/steps.h"

namespace qwen3moe::cuda {

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
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    const std::size_t from = std::size_t(s.share[plane]) * blockIdx.x;
    if (!s.plane[plane] || from >= s.bytes[plane]) return;
    const auto size = static_cast<uint>(min(std::size_t(s.share[plane]), s.bytes[plane] - from));
    const std::uint8_t* first = s.plane[plane] + matrix * s.bytes[plane] + from;
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(first), "r"(size) : "memory");
#endif
}

}  // namespace qwen3moe::cuda
