// RMSNorm of the residual, as floats and as X16: a block of threads for each row.
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(256) norm_kernel(NormParams p, const float* x, const float* weight, Activations out) {
    __shared__ float partial[256];
    const float* row = x + std::size_t(blockIdx.x) * p.width;
    float squares = 0.0f;
    for (uint i = threadIdx.x; i < p.width; i += 256) squares = qm_mul_add(row[i], row[i], squares);
    const float factor = qm_norm_factor(qm_settle(tree256(squares, partial)), p.inverse_width, p.eps);
    const auto value = [&](uint i) { return qm_norm(row[i], factor, weight[i]); };
    for (uint block = threadIdx.x / 32; block < out.blocks(); block += 8) make_block(value, out, blockIdx.x, block);
}

}  // namespace

cudaError_t norm(const NormParams& p, const float* x, const float* weight, const Activations& out,
                 cudaStream_t stream) {
    norm_kernel<<<p.tokens, 256, 0, stream>>>(p, x, weight, out);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
