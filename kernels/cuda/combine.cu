// The experts' outputs, weighted and summed in rank order, then added to the residual: a thread for a few elements.
#include "cuda/launch.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

template <uint kWide>
struct alignas(4 * kWide) Floats {
    float x[kWide];
};

template <uint kWide>
__global__ void __launch_bounds__(128)
    combine_kernel(CombineParams p, const float* expert_out, const float* weights, float* moe_out, float* residual) {
    after_step_before();
    using Few = Floats<kWide>;
    const uint few = p.width / kWide;  // in a row
    const uint i = blockIdx.y * 128 + threadIdx.x;
    const uint t = blockIdx.x;
    if (i >= few) return;
    const Few* out = reinterpret_cast<const Few*>(expert_out) + std::size_t(t) * p.used * few + i;
    const float* weight = weights + std::size_t(t) * p.used;
    Few sum = out[0];
#pragma unroll
    for (uint j = 0; j < kWide; j++) sum.x[j] = qm_mul(weight[0], sum.x[j]);
#pragma unroll 8
    for (uint r = 1; r < p.used; r++) {
        const Few next = out[std::size_t(r) * few];
#pragma unroll
        for (uint j = 0; j < kWide; j++) sum.x[j] = qm_mul_add(weight[r], next.x[j], sum.x[j]);
    }
    const std::size_t at = std::size_t(t) * few + i;
    reinterpret_cast<Few*>(moe_out)[at] = sum;
    Few total = reinterpret_cast<Few*>(residual)[at];
#pragma unroll
    for (uint j = 0; j < kWide; j++) total.x[j] = qm_add(total.x[j], sum.x[j]);
    reinterpret_cast<Few*>(residual)[at] = total;
}

}  // namespace

cudaError_t combine(const CombineParams& p, const float* expert_out, const float* weights, float* moe_out,
                    float* residual, cudaStream_t stream) {
    const bool wide = p.width % 4 == 0;
    const uint few = wide ? p.width / 4 : p.width;
    return launch(wide ? combine_kernel<4> : combine_kernel<1>, dim3(p.tokens, (few + 127) / 128), 128, stream, p,
                  expert_out, weights, moe_out, residual);
}

}  // namespace qwen3moe::cuda
