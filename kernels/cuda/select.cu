// The rows whose logits are wanted; and whether values are finite.
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(256)
    select_kernel(NormParams p, const float* residual, const uint* wanted, float* selected) {
    const float* from = residual + std::size_t(wanted[blockIdx.x]) * p.width;
    float* to = selected + std::size_t(blockIdx.x) * p.width;
    for (uint i = threadIdx.x; i < p.width; i += 256) to[i] = from[i];
}

__global__ void __launch_bounds__(256) find_nonfinite_kernel(const float* x, std::size_t n, uint* flag) {
    const std::size_t step = std::size_t(gridDim.x) * 256;
    bool found = false;
    for (std::size_t i = std::size_t(blockIdx.x) * 256 + threadIdx.x; i < n; i += step)
        found |= qm_abs_bits(x[i]) >= QM_INFINITY_BITS;
    if (found) *flag = 1;
}

}  // namespace

cudaError_t select(const NormParams& p, const float* residual, const uint* wanted, float* selected,
                   cudaStream_t stream) {
    select_kernel<<<p.tokens, 256, 0, stream>>>(p, residual, wanted, selected);
    return cudaGetLastError();
}

cudaError_t find_nonfinite(const float* x, std::size_t n, uint* flag, cudaStream_t stream) {
    const std::size_t blocks = (n + 1023) / 1024;
    find_nonfinite_kernel<<<static_cast<unsigned>(blocks < 1024 ? blocks : 1024), 256, 0, stream>>>(x, n, flag);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
