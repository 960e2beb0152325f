// Hashes of the arithmetic on the CPU: the self-test, or a function over a run of inputs, through `call`'s loops.
#include "shared/selftest.h"

#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

constexpr std::uint32_t kRun = QM_SELFTEST_ITEMS;

QmHash fixed_vector() {
    QmHash hash{0, 0};
    for (std::uint32_t f = 0; f < QM_FUNCTION_COUNT; f++) {
        const std::uint32_t arity = kFunctions[f].arity;
        std::uint32_t arguments[kRun * 8];
        std::uint32_t results[kRun];
        for (std::uint32_t k = 0; k < kRun; k++) {
            const QmArguments x = qm_selftest_arguments(f, k);
            __builtin_memcpy(arguments + k * arity, &x, arity * sizeof(x.a));
        }
        call(f, arguments, results, kRun);
        for (std::uint32_t k = 0; k < kRun; k++) hash = qm_fold(hash, f * kRun + k, results[k]);
    }
    return hash;
}

template <std::uint32_t kNumber>
QmHash run_of_inputs(std::uint32_t first, std::uint32_t count) {
    QmHash hash{0, 0};
    for (std::uint32_t at = 0; at < count; at += kRun) {
        const std::uint32_t n = count - at < kRun ? count - at : kRun;
        std::uint32_t inputs[kRun], results[kRun];
        for (std::uint32_t i = 0; i < n; i++) inputs[i] = qm_defined(kNumber, first + at + i) ? first + at + i : 0;
        call(kNumber, inputs, results, n);
        for (std::uint32_t i = 0; i < n; i++) {
            const QmHash more = qm_fold(hash, first + at + i, results[i]);
            const bool defined = qm_defined(kNumber, first + at + i);
            hash = {defined ? more.low : hash.low, defined ? more.high : hash.high};
        }
    }
    return hash;
}

}  // namespace

QmHash selftest(const HashParams& p) {
    switch (p.function) {
        case QM_HASH_SELFTEST:
            return fixed_vector();
#define QM_CASE(number, name, kinds, result) \
    case number:                             \
        return run_of_inputs<number>(p.first, p.count);
            QM_UNARY_FUNCTIONS(QM_CASE)
#undef QM_CASE
        default:
            return {0, 0};
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
