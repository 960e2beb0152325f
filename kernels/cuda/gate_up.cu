// Gate and up projections of the chosen experts.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

cudaError_t gate_up(const GateUpParams& p, const Weight& gate, const Weight& up, const Activations& in,
                    const Experts& experts, float* gate_out, float* up_out, cudaStream_t stream) {
    Product all = of_experts(in, experts, p.tokens, p.used, p.experts, p.used);
    all.jobs[all.count++] = {gate, p.ff, gate_out};
    all.jobs[all.count++] = {up, p.ff, up_out};
    return dot_rows(all, stream);
}

}  // namespace qwen3moe::cuda
