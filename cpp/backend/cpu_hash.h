// A function over many inputs on all cores, as one hash.
#pragma once

#include "backend/selftest.h"
#include "cpu/steps.h"

namespace qwen3moe {

std::uint64_t cpu_hash(const cpu::Steps&, const HashRange&);

}  // namespace qwen3moe
