// Softmax over all experts; the `used` most probable, lower index first among equals; their weights.
#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

QM_FN void softmax(const float* logits, std::uint32_t n, float* out) {
    float maximum = logits[0];
    for (std::uint32_t i = 1; i < n; i++) maximum = qm_max(logits[i], maximum);
    alignas(64) float partial[256] = {};
    for (std::uint32_t i = 0; i < n; i++) {
        out[i] = qm_probability(logits[i], maximum);
        partial[i % 256] = qm_add(partial[i % 256], out[i]);
    }
    const float inverse = qm_recip(tree256(partial));
    for (std::uint32_t i = 0; i < n; i++) out[i] = qm_mul(out[i], inverse);
}

QM_FN bool chosen(const std::int32_t* ids, std::uint32_t count, std::uint32_t expert) {
    for (std::uint32_t i = 0; i < count; i++)
        if (static_cast<std::uint32_t>(ids[i]) == expert) return true;
    return false;
}

}  // namespace

void topk(const TopkParams& p, const float* logits, float* probabilities, std::int32_t* ids, float* weights,
          Range tokens) {
    for (std::uint32_t t = tokens.first; t < tokens.last; t++) {
        float* prob = probabilities + std::size_t(t) * p.experts;
        std::int32_t* id = ids + std::size_t(t) * p.used;
        float* weight = weights + std::size_t(t) * p.used;
        softmax(logits + std::size_t(t) * p.experts, p.experts, prob);
        float sum = 0.0f;
        for (std::uint32_t rank = 0; rank < p.used; rank++) {
            std::uint32_t best = p.experts;
            for (std::uint32_t e = 0; e < p.experts; e++) {
                const bool better = best == p.experts || qm_rank_key(prob[e]) > qm_rank_key(prob[best]);
                if (better && !chosen(id, rank, e)) best = e;
            }
            id[rank] = static_cast<std::int32_t>(best);
            weight[rank] = prob[best];
            sum = qm_add(sum, prob[best]);
        }
        if (p.renormalise == 0) continue;
        const float inverse = qm_recip(sum);
        for (std::uint32_t rank = 0; rank < p.used; rank++) weight[rank] = qm_mul(weight[rank], inverse);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
