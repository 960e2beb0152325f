// The experts' outputs, weighted and summed in rank order, then added to the residual.
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void combine(const CombineParams& p, const float* expert_out, const float* weights, float* moe_out, float* residual,
             Range tokens) {
    for (std::uint32_t t = tokens.first; t < tokens.last; t++) {
        const float* out = expert_out + std::size_t(t) * p.used * p.width;
        const float* weight = weights + std::size_t(t) * p.used;
        float* moe = moe_out + std::size_t(t) * p.width;
        float* row = residual + std::size_t(t) * p.width;
        for (std::uint32_t i = 0; i < p.width; i++) {
            float sum = qm_mul(weight[0], out[i]);
            for (std::uint32_t r = 1; r < p.used; r++)
                sum = qm_mul_add(weight[r], out[std::size_t(r) * p.width + i], sum);
            moe[i] = sum;
            row[i] = qm_add(row[i], sum);
        }
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
