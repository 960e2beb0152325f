// The CPU's instruction sets: which are compiled in, which this machine has, and the one in use.
#pragma once

#include <span>
#include <string_view>

#include "cpu/steps.h"

namespace qwen3moe {

// Every variant compiled in that this machine can run, plainest first.
std::span<const cpu::Steps* const> usable_cpu_steps();

// The best of them, or the one named by QWEN3MOE_SIMD; throws BackendUnavailableError for a name that cannot run here.
const cpu::Steps& cpu_steps();

// By name; throws as above.
const cpu::Steps& cpu_steps(std::string_view name);

}  // namespace qwen3moe
