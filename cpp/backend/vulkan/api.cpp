#define VOLK_IMPLEMENTATION
#include "backend/vulkan/api.h"

#include <string>

#include "errors.h"

namespace qwen3moe::vulkan {

void check(VkResult result, const char* doing) {
    if (result == VK_SUCCESS) return;
    const std::string message = std::string("Vulkan: ") + doing + " failed with VkResult " + std::to_string(result);
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        throw OutOfMemoryError(message);
    throw DeviceError(message);
}

}  // namespace qwen3moe::vulkan
