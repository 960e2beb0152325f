// The residual that a tile's rows are added to.
#pragma once

#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {

// A block's first tile is mostly its only one, and what it is added to is there long before the step before has ended.
class Residual {
  public:
    __device__ __forceinline__ Residual(float* values, uint rows)
        : r(threadIdx.x % kTileRows), values_(values), rows_(rows) {
        const uint at = kTileRows * blockIdx.x + r;
        first_ = at < rows ? values[at] : 0.0f;
    }

    // By a warp whose lower lanes have the rows' sums.
    __device__ __forceinline__ void add(uint tile, float sum) const {
        const uint at = kTileRows * tile + r;
        if ((threadIdx.x & 31) >= kTileRows || at >= rows_) return;
        values_[at] = qm_add(tile == blockIdx.x ? first_ : values_[at], sum);
    }

    const uint r;  // the calling thread's row of a tile

  private:
    float* const values_;
    const uint rows_;
    float first_;
};

}  // namespace qwen3moe::cuda
