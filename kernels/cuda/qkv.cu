// Q, K and V of every token.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t qkv(const QkvParams& p, const Weight& q, const Weight& k, const Weight& v, const Activations& in,
                float* q_out, float* k_out, float* v_out, cudaStream_t stream) {
    Product all = dense(in, p.tokens);
    all.jobs[all.count++] = {q, p.q_rows, q_out};
    all.jobs[all.count++] = {k, p.kv_rows, k_out};
    all.jobs[all.count++] = {v, p.kv_rows, v_out};
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
