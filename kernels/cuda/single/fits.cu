// What the kernels of this folder can do.
#include "cuda/single/steps.h"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kDeclared = 8u << 10;  // bytes of shared memory that kernels declare beside what they are given, at most

}  // namespace

bool fits_single(const SingleShape& s) {
    return attribute(cudaDevAttrComputeCapabilityMajor) >= 9 && s.used <= kMostUsed && s.heads_per_kv <= 16 &&
           s.ff % kTileRows == 0 && s.width % kTileRows == 0;
}

bool fits_tiles(const Weight& w, uint parts, uint inputs, uint floats) {
    if (with_format(
            w.type, [](auto) { return cudaErrorInvalidValue; }, [](auto) { return cudaSuccess; }) != cudaSuccess)
        return false;
    const uint fixed = floats * sizeof(float) + Input::bytes(inputs * ((w.columns + 255) / 256));
    return stages_of(matrix_of(w, kTileRows), parts, fixed, 1).shared() + fixed + kDeclared <=
           attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

bool go_together(const Weight& qk, const Weight& v) {
    return with_formats(
               qk.type, v.type, [](auto) { return cudaSuccess; }, [](auto, auto) { return cudaSuccess; }) ==
           cudaSuccess;
}

}  // namespace qwen3moe::cuda
