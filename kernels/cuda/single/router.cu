// RMSNorm and one score per expert: a block of threads for each expert, a thread for each of its 256 partial sums.
#include "cuda/single/steps.h"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kSums = 256;  // threads
constexpr uint kHeld = 8;    // weights of a thread that are loaded before the step before has ended

template <class Format>
__global__ void __launch_bounds__(kSums)
    router_kernel(NormInput norm, const __grid_constant__ Weight w, float* logits, uint* gate_up_read) {
    __shared__ float partial[256];
    const std::size_t row = std::size_t(blockIdx.x) * norm.width;
    float weight[kHeld], scale[kHeld], x[kHeld];
#pragma unroll
    for (uint j = 0; j < kHeld; j++) {
        const uint i = threadIdx.x + kSums * j;
        weight[j] = i < norm.width ? Format::at(w, row + i) : 0.0f;
        scale[j] = i < norm.width ? norm.weight[i] : 0.0f;
    }
    after_step_before();
    if (blockIdx.x == 0 && threadIdx.x == 0) *gate_up_read = 0;
    float squares = 0.0f;
#pragma unroll
    for (uint j = 0; j < kHeld; j++) {
        const uint i = threadIdx.x + kSums * j;
        x[j] = i < norm.width ? norm.x[i] : 0.0f;
    }
#pragma unroll
    for (uint j = 0; j < kHeld; j++)
        if (threadIdx.x + kSums * j < norm.width) squares = qm_mul_add(x[j], x[j], squares);
    for (uint i = threadIdx.x + kSums * kHeld; i < norm.width; i += kSums)
        squares = qm_mul_add(norm.x[i], norm.x[i], squares);
    partial[threadIdx.x] = squares;
    __syncthreads();
    const float factor = norm.factor(partial);

    float sum = 0.0f;
#pragma unroll
    for (uint j = 0; j < kHeld; j++)
        if (threadIdx.x + kSums * j < norm.width) sum = qm_mul_add(weight[j], qm_norm(x[j], factor, scale[j]), sum);
    for (uint i = threadIdx.x + kSums * kHeld; i < norm.width; i += kSums)
        sum = qm_mul_add(Format::at(w, row + i), qm_norm(norm.x[i], factor, norm.weight[i]), sum);
    __syncthreads();  // `partial` is used again
    sum = qm_settle(tree256(sum, partial));
    if (threadIdx.x == 0) logits[blockIdx.x] = sum;
}

}  // namespace

cudaError_t router_single(const NormParams& n, const RouterParams& p, const float* residual, const float* norm,
                          const Weight& w, float* logits, uint* gate_up_read, cudaStream_t stream) {
    const NormInput in{residual, norm, n.width, n.inverse_width, n.eps};
    return with_format(
        w.type,
        [&](auto f) {
            const auto kernel = router_kernel<decltype(f)>;
            const uint shared = less_than_half();  // it needs none, but its blocks of threads are to be spread out
            const cudaError_t error = ask_for_shared(kernel, shared);
            return error != cudaSuccess
                       ? error
                       : launch_sharing(kernel, p.experts, kSums, shared, stream, in, w, logits, gate_up_read);
        },
        [](auto) { return cudaErrorInvalidValue; });
}

}  // namespace qwen3moe::cuda
