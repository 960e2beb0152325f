// The output head.
#include "cpu/dot.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void logits(const LogitsParams& p, const Weight& w, const Rows& in, float* out, Range rows) {
    dot_rows(w, rows, in, {nullptr, p.rows, 1}, {out, p.vocab, false});
}

}  // namespace qwen3moe::cpu::QM_SIMD
