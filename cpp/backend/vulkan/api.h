// Vulkan's functions, found when they are first needed: importing the package needs no loader.
#pragma once

#include <volk.h>

namespace qwen3moe::vulkan {

// Throws DeviceError, or OutOfMemoryError for want of memory; `doing` names the step.
void check(VkResult, const char* doing);

// Whether this process opened Vulkan, or none has yet; its fork can neither use nor free what it holds.
bool opened_here();
// Throws DeviceError in a process that was forked from one that had opened Vulkan.
void require_opened_here();

}  // namespace qwen3moe::vulkan
