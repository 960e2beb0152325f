// silu(gate) * up for every slot, as floats and as X16: a warp for each block of 256.
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(128)
    swiglu_kernel(SwigluParams p, const float* gate, const float* up, Activations out) {
    const std::size_t item = std::size_t(blockIdx.x) * 4 + threadIdx.x / 32;
    const std::size_t row = item / out.blocks();
    if (row >= p.rows) return;
    const auto value = [&](uint i) { return qm_swiglu(gate[row * p.ff + i], up[row * p.ff + i]); };
    make_block(value, out, row, static_cast<uint>(item % out.blocks()));
}

}  // namespace

cudaError_t swiglu(const SwigluParams& p, const float* gate, const float* up, const Activations& out,
                   cudaStream_t stream) {
    swiglu_kernel<<<(p.rows * out.blocks() + 3) / 4, 128, 0, stream>>>(p, gate, up, out);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
