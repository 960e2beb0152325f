// One score per token and expert.
#include "cpu/dot.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void router(const RouterParams& p, const Weight& w, const Rows& in, float* logits, Range rows) {
    dot_rows(w, rows, in, {nullptr, p.tokens, 1}, {logits, p.experts, false});
}

}  // namespace qwen3moe::cpu::QM_SIMD
