// The attention's output projection, added to the residual.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t output(const OutputParams& p, const Weight& w, const Activations& in, float* residual,
                   cudaStream_t stream) {
    Product all = dense(in, p.tokens);
    all.jobs[all.count++] = {w, p.width, residual};
    all.add = true;
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
