// Vulkan, as the rest of the engine sees it. Where it was not built, cpp/backend/absent/vulkan.cpp says so.
#pragma once

#include <memory>

#include "backend/devices.h"
#include "backend/executor.h"
#include "backend/selftest.h"

namespace qwen3moe::vulkan {

Devices devices();
std::uint64_t hash(std::uint32_t device, const HashRange&);

// Uploads the weights, which are not needed afterwards; asks now and then whether to go on. Throws OutOfMemoryError
// before it allocates anything.
std::unique_ptr<Executor> open(std::uint32_t device, const Config&, const Weights&, std::uint32_t batch, const Poll&);

}  // namespace qwen3moe::vulkan
