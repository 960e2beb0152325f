// Vulkan objects that are destroyed with what holds them, also when a constructor throws halfway. A forked process has
// the handles but not the objects, and leaves them alone.
#pragma once

#include "backend/vulkan/api.h"

namespace qwen3moe::vulkan {

template <class Handle>
class Owned {
  public:
    using Destroy = void(VKAPI_PTR*)(VkDevice, Handle, const VkAllocationCallbacks*);

    Owned(VkDevice device, Destroy destroy) : device_(device), destroy_(destroy) {}
    ~Owned() {
        if (handle_ != VK_NULL_HANDLE && opened_here()) destroy_(device_, handle_, nullptr);
    }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    Owned(Owned&& other) noexcept : device_(other.device_), destroy_(other.destroy_), handle_(other.handle_) {
        other.handle_ = VK_NULL_HANDLE;
    }

    Handle get() const { return handle_; }
    Handle* put() { return &handle_; }

  private:
    VkDevice device_;
    Destroy destroy_;
    Handle handle_ = VK_NULL_HANDLE;
};

struct OwnedDevice {
    ~OwnedDevice() {
        if (handle != VK_NULL_HANDLE && opened_here()) vkDestroyDevice(handle, nullptr);
    }
    VkDevice handle = VK_NULL_HANDLE;
};

}  // namespace qwen3moe::vulkan
