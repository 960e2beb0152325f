// What the kernels of this folder can do.
#include "cuda/single/product.cuh"
#include "cuda/single/steps.h"

namespace qwen3moe::cuda {
namespace {

constexpr std::size_t kShared = 44u << 10;  // of the 48 KB that every device has for a block of threads

std::size_t row_bytes(uint columns) { return columns * sizeof(float) + Input::bytes((columns + 255) / 256); }

}  // namespace

bool fits_single(const SingleShape& s) {
    return row_bytes(s.width) + 2 * (s.experts + 1) * sizeof(float) <= kShared &&
           Input::bytes((s.q_rows + 255) / 256) <= kShared && Input::bytes((s.ff + 255) / 256 * s.used) <= kShared &&
           s.used <= kMostUsed && s.heads_per_kv <= 16;
}

bool in_blocks(const Weight& w) {
    return with_format(
               w.type, [](auto) { return cudaErrorInvalidValue; }, [](auto) { return cudaSuccess; }) == cudaSuccess;
}

bool go_together(const Weight& qk, const Weight& v) {
    return with_formats(
               qk.type, v.type, [](auto) { return cudaSuccess; }, [](auto, auto) { return cudaSuccess; }) ==
           cudaSuccess;
}

}  // namespace qwen3moe::cuda
