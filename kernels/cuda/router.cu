// One score per token and expert.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t router(const RouterParams& p, const Weight& w, const Activations& in, float* logits, cudaStream_t stream) {
    Product all = dense(in, p.tokens);
    all.jobs[all.count++] = {w, p.experts, logits};
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
