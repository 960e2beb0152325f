// Vulkan's functions, found when they are first needed: importing the package needs no loader.
#pragma once

#include <volk.h>

namespace qwen3moe::vulkan {

// Throws DeviceError, or OutOfMemoryError for want of memory; `doing` names the step.
void check(VkResult, const char* doing);

}  // namespace qwen3moe::vulkan
