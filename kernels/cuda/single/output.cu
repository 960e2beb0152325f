// The output projection, added to the residual.
#include "cuda/launch.cuh"
#include "cuda/single/product.cuh"
#include "cuda/single/steps.h"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 1;
constexpr uint kDepth = 4;

template <class Format>
__global__ void __launch_bounds__(kThreads, 1)
    output_kernel(OutputParams p, const __grid_constant__ Weight w, const float* attention, float* residual) {
    extern __shared__ char shared[];
    const Input in(shared, (p.columns + 255) / 256);
    product<Format, kRows, kDepth>(
        w, p.width, 0, gridDim.x, in,
        [&] {
            after_step_before();
            quantise_input<Format>(attention, 1, p.columns, in);
        },
        [&](uint row, float value) { residual[row] = qm_add(residual[row], value); });
}

}  // namespace

cudaError_t output_single(const OutputParams& p, const Weight& w, const float* attention, float* residual,
                          cudaStream_t stream) {
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_sharing(output_kernel<decltype(f)>, grid_for((p.width + kRows - 1) / kRows, 1), kThreads,
                                  Input::bytes((p.columns + 255) / 256), stream, p, w, attention, residual);
        });
}

}  // namespace qwen3moe::cuda
