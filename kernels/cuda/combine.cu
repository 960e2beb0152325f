// The experts' outputs, weighted and summed in rank order, then added to the residual: a thread for each element.
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(128)
    combine_kernel(CombineParams p, const float* expert_out, const float* weights, float* moe_out, float* residual) {
    const uint i = blockIdx.y * 128 + threadIdx.x;
    const uint t = blockIdx.x;
    if (i >= p.width) return;
    const float* out = expert_out + std::size_t(t) * p.used * p.width + i;
    const float* weight = weights + std::size_t(t) * p.used;
    float sum = qm_mul(weight[0], out[0]);
#pragma unroll 8
    for (uint r = 1; r < p.used; r++) sum = qm_mul_add(weight[r], out[std::size_t(r) * p.width], sum);
    const std::size_t at = std::size_t(t) * p.width + i;
    moe_out[at] = sum;
    residual[at] = qm_add(residual[at], sum);
}

}  // namespace

cudaError_t combine(const CombineParams& p, const float* expert_out, const float* weights, float* moe_out,
                    float* residual, cudaStream_t stream) {
    combine_kernel<<<dim3(p.tokens, (p.width + 127) / 128), 128, 0, stream>>>(p, expert_out, weights, moe_out,
                                                                              residual);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
