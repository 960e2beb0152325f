// Of a row of logits the largest, the first among equals, and its log-probability.
#include "shared/choose.h"

#include "cpu/step_functions.h"
#include "cpu/tree.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

QM_FN float largest(const float* logits, std::uint32_t n) {
    constexpr std::uint32_t kLanes = 64;
    float m[kLanes];
    for (std::uint32_t j = 0; j < kLanes; j++) m[j] = logits[0];
    const std::uint32_t whole = n / kLanes * kLanes;
    for (std::uint32_t i = 0; i < whole; i += kLanes)
        for (std::uint32_t j = 0; j < kLanes; j++) m[j] = qm_max(logits[i + j], m[j]);
    for (std::uint32_t i = whole; i < n; i++) m[0] = qm_max(logits[i], m[0]);
    for (std::uint32_t j = 1; j < kLanes; j++) m[0] = qm_max(m[j], m[0]);
    return m[0];
}

QM_FN std::uint32_t find(const float* logits, float value) {
    std::uint32_t i = 0;
    while (logits[i] != value) i++;
    return i;
}

QM_FN float sum_of_exponentials(const float* logits, std::uint32_t n, float maximum) {
    alignas(64) float p[256] = {};
    const std::uint32_t whole = n / 256 * 256;
    for (std::uint32_t i = 0; i < whole; i += 256)
        for (std::uint32_t j = 0; j < 256; j++) p[j] = qm_add(p[j], qm_probability(logits[i + j], maximum));
    for (std::uint32_t i = whole; i < n; i++) p[i - whole] = qm_add(p[i - whole], qm_probability(logits[i], maximum));
    return tree256(p);
}

}  // namespace

void choose(const ChooseParams& p, const float* logits, Choice* out, Range rows) {
    for (std::uint32_t r = rows.first; r < rows.last; r++) {
        const float* row = logits + std::size_t(r) * p.vocab;
        const std::uint32_t token = find(row, largest(row, p.vocab));
        const float sum = sum_of_exponentials(row, p.vocab, row[token]);
        out[r] = {token, qm_log_probability(row[token], row[token], sum)};
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
