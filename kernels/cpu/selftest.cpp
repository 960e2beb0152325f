// The self-test through the vectorised loops of `call`.
#include "shared/selftest.h"

#include <cstring>

#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

std::uint64_t selftest() {
    QmHash hash{0, 0};
    for (std::uint32_t f = 0; f < QM_FUNCTION_COUNT; f++) {
        const std::uint32_t arity = kFunctions[f].arity;
        std::uint32_t arguments[QM_SELFTEST_ITEMS * 8];
        std::uint32_t results[QM_SELFTEST_ITEMS];
        for (std::uint32_t k = 0; k < QM_SELFTEST_ITEMS; k++) {
            const QmArguments x = qm_selftest_arguments(f, k);
            std::memcpy(arguments + k * arity, &x, arity * sizeof(x.a));
        }
        call(f, arguments, results, QM_SELFTEST_ITEMS);
        for (std::uint32_t k = 0; k < QM_SELFTEST_ITEMS; k++)
            hash = qm_fold(hash, f * QM_SELFTEST_ITEMS + k, results[k]);
    }
    return std::uint64_t(hash.high) << 32 | hash.low;
}

}  // namespace qwen3moe::cpu::QM_SIMD
