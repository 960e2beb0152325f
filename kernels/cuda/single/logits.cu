// The last RMSNorm and the output head; and whether what they read and write is finite.
#include "cuda/launch.cuh"
#include "cuda/single/product.cuh"
#include "cuda/single/steps.h"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 2;
constexpr uint kDepth = 3;

__device__ __forceinline__ bool infinite(float x) { return qm_abs_bits(x) >= QM_INFINITY_BITS; }

template <class Format>
__global__ void __launch_bounds__(kThreads, 1)
    logits_kernel(NormInput norm, const __grid_constant__ Weight w, uint rows, uint* flags, float* out) {
    extern __shared__ char shared[];
    __shared__ float partial[256];
    float* row = reinterpret_cast<float*>(shared);
    const Input in(shared + norm.width * sizeof(float), (norm.width + 255) / 256);
    product<Format, kRows, kDepth>(
        w, rows, 0, gridDim.x, in,
        [&] {
            after_step_before();
            norm.load(row, partial);
            __syncthreads();
            if (blockIdx.x == 0)
                for (uint i = threadIdx.x; i < norm.width; i += kThreads)
                    if (infinite(row[i])) flags[0] = 1;
            norm.quantise<Format>(row, norm.factor(partial), in);
        },
        [&](uint at, float value) {
            out[at] = value;
            if (infinite(value)) flags[1] = 1;
        });
}

}  // namespace

cudaError_t logits_single(const NormParams& n, const LogitsParams& p, const float* residual, const float* norm,
                          const Weight& w, uint* flags, float* out, cudaStream_t stream) {
    const NormInput in{residual, norm, n.width, n.inverse_width, n.eps};
    const std::size_t shared = n.width * sizeof(float) + Input::bytes((n.width + 255) / 256);
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_sharing(logits_kernel<decltype(f)>, grid_for((p.vocab + kRows - 1) / kRows, 1), kThreads,
                                  shared, stream, in, w, p.vocab, flags, out);
        });
}

}  // namespace qwen3moe::cuda
