// A tile's weights in shared memory: sixteen rows, whole, as the planes of backend/layout.h have them.
#pragma once

#include "cuda/words.cuh"

namespace qwen3moe::cuda {

// Sixteen rows of a matrix in shared memory: the planes one after the other.
struct Slot {
    uint offset[4];
    uint bytes;
};

// The block that a warp works on: rows g and g + 8 of a slot.
struct InSlot {
    const char* slot;
    const Slot& shape;
    const Weight& w;
    uint g, t;
    uint block;

    // upper: of row g + 8; bytes: of a block of 256 values in this plane
    template <uint kPlane, uint kBytes>
    __device__ __forceinline__ const char* at(bool upper) const {
        return row<kPlane>(upper ? g + 8 : g) + block * kBytes;
    }
    template <uint kPlane>
    __device__ __forceinline__ const char* sixteen(bool upper, uint group) const {
        return row<kPlane>(upper ? g + 8 : g) + 16 * turned(group, g, w.turn[kPlane]);
    }
    // The lane's words of groups first, first + 1 .. of both rows.
    template <uint kPlane, uint N>
    __device__ __forceinline__ void words(uint first, uint (&to)[2][N]) const {
        const uint lane = 4 * g + t, r = lane & 15;
        const char* from = row<kPlane>(r);
#pragma unroll
        for (uint i = 0; i < N; i += 2) {
            uint four[4];
            load_matrices(from + 16 * turned(first + i + lane / 16, r, w.turn[kPlane]), four);
            to[0][i] = four[0], to[1][i] = four[1], to[0][i + 1] = four[2], to[1][i + 1] = four[3];
        }
    }
    // Of blocks of 32 values, as a row's last 256 may be fewer.
    __device__ __forceinline__ bool has(uint group) const { return 8 * block + group < w.columns / 32; }

  private:
    template <uint kPlane>
    __device__ __forceinline__ const char* row(uint r) const {
        return slot + shape.offset[kPlane] + r * w.row_bytes[kPlane];
    }
};

}  // namespace qwen3moe::cuda
