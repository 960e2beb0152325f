// The parts that tests look at one by one.
#include "cpu/dot.h"
#include "cpu/quantise.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {
void quantise(const float* x, std::uint32_t n, X16Block* out) { quantise_row(x, n, out); }

void dot(const Weight& w, Range rows, const Rows& in, std::uint32_t tokens, float* out, std::size_t stride) {
    dot_rows(w, rows, in, {nullptr, tokens, 1}, {out - rows.first, stride, false});
}

}  // namespace qwen3moe::cpu::QM_SIMD
