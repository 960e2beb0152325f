// Any function of the arithmetic over arrays of bits: a loop for each function, vectorised as the steps' loops are.
#include "cpu/step_functions.h"
#include "shared/functions.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

template <std::uint32_t kNumber>
QM_FN void apply(const std::uint32_t* arguments, std::uint32_t* out, std::size_t n) {
    constexpr std::uint32_t arity = kFunctions[kNumber].arity;
    for (std::size_t i = 0; i < n; i++) {
        std::uint32_t x[8] = {};
        for (std::uint32_t j = 0; j < arity; j++) x[j] = arguments[i * arity + j];
        out[i] = qm_call(kNumber, {x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]});
    }
}

}  // namespace

void call(std::uint32_t function, const std::uint32_t* arguments, std::uint32_t* out, std::size_t n) {
    switch (function) {
#define QM_CASE(number, name, kinds, result) \
    case number:                             \
        return apply<number>(arguments, out, n);
        QM_ALL_FUNCTIONS(QM_CASE)
#undef QM_CASE
        default:
            return;
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
