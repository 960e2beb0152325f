// RMSNorm of the residual, as floats and as X16: a block of threads for each row.
#include "cuda/launch.cuh"
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(256) norm_kernel(NormParams p, const float* x, const float* weight, Activations out) {
    after_step_before();
    __shared__ float partial[256];
    const float* row = x + std::size_t(blockIdx.x) * p.width;
    float squares = 0.0f;
    for (uint i = threadIdx.x; i < p.width; i += 256) squares = qm_mul_add(row[i], row[i], squares);
    const float factor = qm_norm_factor(qm_settle(tree256(squares, partial)), p.inverse_width, p.eps);
    const auto make = [&](uint first, float (&values)[8]) {
        float scale[8];
        load8(row, p.width, first, values);
        load8(weight, p.width, first, scale);
#pragma unroll
        for (uint i = 0; i < 8; i++) values[i] = qm_norm(values[i], factor, scale[i]);
    };
    for (uint block = threadIdx.x / 32; block < out.blocks(); block += 8) make_block(make, out, blockIdx.x, block);
}

}  // namespace

cudaError_t norm(const NormParams& p, const float* x, const float* weight, const Activations& out,
                 cudaStream_t stream) {
    return launch(norm_kernel, p.tokens, 256, stream, p, x, weight, out);
}

}  // namespace qwen3moe::cuda
