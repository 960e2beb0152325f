// Down projections of the chosen experts, one row of output per slot.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t down(const DownParams& p, const Weight& w, const Activations& in, const Experts& experts, float* out,
                 cudaStream_t stream) {
    Product all = of_experts(in, experts, p.tokens, p.used, p.experts, 1);
    all.jobs[all.count++] = {w, p.width, out};
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
