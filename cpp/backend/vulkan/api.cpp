#define VOLK_IMPLEMENTATION
#include "backend/vulkan/api.h"

#include <string>

#include "backend/opener.h"
#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

Opener opener("Vulkan");

}  // namespace

bool opened_here() { return opener.here(); }
void require_opened_here() { opener.require_here(); }

void check(VkResult result, const char* doing) {
    if (result == VK_SUCCESS) return;
    const std::string message = std::string("Vulkan: ") + doing + " failed";
    if (result == VK_ERROR_DEVICE_LOST) throw DeviceError(message + ": the device was lost; open the model again");
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        throw OutOfMemoryError(message + " for want of memory");
    throw DeviceError(message + " with VkResult " + std::to_string(result));
}

}  // namespace qwen3moe::vulkan
