// The output head.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t logits(const LogitsParams& p, const Weight& w, const Activations& in, float* out, cudaStream_t stream) {
    Product all = dense(in, p.rows);
    all.jobs[all.count++] = {w, p.vocab, out};
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
