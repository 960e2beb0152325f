#define VOLK_IMPLEMENTATION
#include "backend/vulkan/api.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

std::atomic<pid_t> opener{0};  // the process

}  // namespace

bool opened_here() {
    pid_t found = 0;
    const pid_t self = getpid();
    return opener.compare_exchange_strong(found, self) || found == self;
}

void require_opened_here() {
    if (!opened_here())
        throw DeviceError("Vulkan was opened in process " + std::to_string(opener.load()) + ", and this is its fork " +
                          std::to_string(getpid()) +
                          ", which cannot use it; open the model in the child, or start it with spawn");
}

void check(VkResult result, const char* doing) {
    if (result == VK_SUCCESS) return;
    const std::string message = std::string("Vulkan: ") + doing + " failed";
    if (result == VK_ERROR_DEVICE_LOST) throw DeviceError(message + ": the device was lost; open the model again");
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        throw OutOfMemoryError(message + " for want of memory");
    throw DeviceError(message + " with VkResult " + std::to_string(result));
}

}  // namespace qwen3moe::vulkan
