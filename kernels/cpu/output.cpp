// The attention's output projection, added to the residual.
#include "cpu/dot.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

void output(const OutputParams& p, const Weight& w, const Rows& in, float* residual, Range rows) {
    dot_rows(w, rows, in, {nullptr, p.tokens, 1}, {residual, p.width, true});
}

}  // namespace qwen3moe::cpu::QM_SIMD
