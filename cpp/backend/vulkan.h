// Vulkan, as the rest of the engine sees it. Where it was not built, cpp/backend/absent/vulkan.cpp says so.
#pragma once

#include "backend/devices.h"
#include "backend/selftest.h"

namespace qwen3moe::vulkan {

Devices devices();
std::uint64_t hash(std::uint32_t device, const HashRange&);

}  // namespace qwen3moe::vulkan
