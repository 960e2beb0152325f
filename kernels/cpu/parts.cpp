// The arithmetic's unary functions over arrays of bits, and the parts that tests look at one by one.
#include "cpu/dot.h"
#include "cpu/quantise.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

template <class F>
QM_FN void apply(const std::uint32_t* in, std::uint32_t* out, std::size_t n, F f) {
    for (std::size_t i = 0; i < n; i++) out[i] = qm_bits(f(qm_from_bits(in[i])));
}

}  // namespace

void unary(std::uint32_t function, const std::uint32_t* in, std::uint32_t* out, std::size_t n) {
    switch (function) {  // in the order of kUnary
        case 0:
            return apply(in, out, n, [](float x) { return qm_exp(x); });
        case 1:
            return apply(in, out, n, [](float x) { return qm_recip(x); });
        case 2:
            return apply(in, out, n, [](float x) { return qm_rsqrt(x); });
        case 3:
            return apply(in, out, n, [](float x) { return qm_sigmoid(x); });
        case 4:
            return apply(in, out, n, [](float x) { return qm_silu(x); });
        case 5:
            for (std::size_t i = 0; i < n; i++) out[i] = qm_bits(qm_half(in[i] & 0xffffu));
            return;
        case 6:
            for (std::size_t i = 0; i < n; i++) out[i] = qm_to_half(qm_from_bits(in[i]));
            return;
        case 7:
            for (std::size_t i = 0; i < n; i++) out[i] = static_cast<std::uint32_t>(qm_round(qm_from_bits(in[i])));
            return;
        default:
            return;
    }
}

void quantise(const float* x, std::uint32_t n, X14Block* out) { quantise_row(x, n, out); }

void dot(const Weight& w, Range rows, const Rows& in, std::uint32_t tokens, float* out, std::size_t stride) {
    dot_rows(w, rows, in, {nullptr, tokens, 1}, {out - rows.first, stride, false});
}

}  // namespace qwen3moe::cpu::QM_SIMD
