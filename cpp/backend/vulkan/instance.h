// The process's Vulkan instance and the physical devices that can be used.
#pragma once

#include <string>
#include <vector>

#include "backend/vulkan/api.h"

namespace qwen3moe::vulkan {

struct Instance {
    std::vector<VkPhysicalDevice> devices;  // discrete GPUs first, processors last
    std::string reason;                     // why there are none
};

// Made at the first call, and never taken down: drivers do not all survive that at exit.
const Instance& instance();

VkPhysicalDeviceProperties properties_of(VkPhysicalDevice);

}  // namespace qwen3moe::vulkan
