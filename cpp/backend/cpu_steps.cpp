#include "backend/cpu_steps.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "errors.h"

#ifdef QM_HAVE_neon
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace qwen3moe {

namespace cpu {
namespace portable {
extern const Steps kSteps;
}
namespace avx2 {
extern const Steps kSteps;
}
namespace avx512 {
extern const Steps kSteps;
}
namespace neon {
extern const Steps kSteps;
}
}  // namespace cpu

namespace {

std::vector<const cpu::Steps*> find_usable() {
    std::vector<const cpu::Steps*> found{&cpu::portable::kSteps};
#ifdef QM_HAVE_avx2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) found.push_back(&cpu::avx2::kSteps);
#endif
#ifdef QM_HAVE_avx512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        found.push_back(&cpu::avx512::kSteps);
#endif
#ifdef QM_HAVE_neon
    if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) found.push_back(&cpu::neon::kSteps);
#endif
    return found;
}

}  // namespace

std::span<const cpu::Steps* const> usable_cpu_steps() {
    static const std::vector<const cpu::Steps*> usable = find_usable();
    return usable;
}

const cpu::Steps& cpu_steps() {
    const char* forced = std::getenv("QWEN3MOE_SIMD");
    return forced && *forced ? cpu_steps(forced) : *usable_cpu_steps().back();
}

const cpu::Steps& cpu_steps(std::string_view name) {
    std::string known;
    for (const cpu::Steps* steps : usable_cpu_steps()) {
        if (name == steps->name) return *steps;
        known += known.empty() ? "" : ", ";
        known += steps->name;
    }
    throw BackendUnavailableError("instruction set '" + std::string(name) + "' cannot run here; this machine has " +
                                  known);
}

}  // namespace qwen3moe
