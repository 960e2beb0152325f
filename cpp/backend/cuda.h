// CUDA, as the rest of the engine sees it. Where it was not built, cpp/backend/absent/cuda.cpp says so.
#pragma once

#include "backend/devices.h"
#include "backend/selftest.h"

namespace qwen3moe::cuda {

Devices devices();
std::uint64_t hash(std::uint32_t device, const HashRange&);

}  // namespace qwen3moe::cuda
