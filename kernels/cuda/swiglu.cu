// silu(gate) * up for every slot, as floats and as X16: a warp for each block of 256.
#include "cuda/launch.cuh"
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(128)
    swiglu_kernel(SwigluParams p, const float* gate, const float* up, Activations out) {
    after_step_before();
    const std::size_t item = std::size_t(blockIdx.x) * 4 + threadIdx.x / 32;
    const std::size_t row = item / out.blocks();
    if (row >= p.rows) return;
    const auto make = [&](uint first, float (&values)[8]) {
        float other[8];
        load8(gate + row * p.ff, p.ff, first, values);
        load8(up + row * p.ff, p.ff, first, other);
#pragma unroll
        for (uint i = 0; i < 8; i++) values[i] = qm_swiglu(values[i], other[i]);
    };
    make_block(make, out, row, static_cast<uint>(item % out.blocks()));
}

}  // namespace

cudaError_t swiglu(const SwigluParams& p, const float* gate, const float* up, const Activations& out,
                   cudaStream_t stream) {
    return launch(swiglu_kernel, (p.rows * out.blocks() + 3) / 4, 128, stream, p, gate, up, out);
}

}  // namespace qwen3moe::cuda
