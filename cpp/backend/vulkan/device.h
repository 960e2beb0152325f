// A Vulkan device with one compute queue; buffers on it and pipelines for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/vulkan/owned.h"

namespace qwen3moe::vulkan {

// How a device is told to treat floats; each is asked of it where it has the choice.
struct FloatModes {
    bool round_to_even;
    bool keep_special;  // signed zeros, infinities and NaN
};

class Device {
  public:
    explicit Device(std::uint32_t number);

    VkDevice handle() const { return device_.handle; }
    FloatModes float_modes() const { return float_modes_; }
    // The first type of memory among `allowed` that has all the properties wanted; throws DeviceError if none has.
    std::uint32_t memory_type(std::uint32_t allowed, VkMemoryPropertyFlags wanted) const;
    // Records with `record`, submits and waits.
    template <class Record>
    void run(Record record) {
        begin();
        record(commands_);
        submit_and_wait();
    }

  private:
    void begin();
    void submit_and_wait();

    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    FloatModes float_modes_;
    std::uint32_t family_;  // of queues
    OwnedDevice device_;
    VkQueue queue_ = VK_NULL_HANDLE;
    Owned<VkCommandPool> pool_;
    VkCommandBuffer commands_ = VK_NULL_HANDLE;
    Owned<VkFence> fence_;
};

// Storage that the host sees too.
class Buffer {
  public:
    Buffer(const Device&, VkDeviceSize bytes);

    VkBuffer handle() const { return handle_.get(); }
    void* data() const { return data_; }

  private:
    Owned<VkDeviceMemory> memory_;
    Owned<VkBuffer> handle_;
    void* data_ = nullptr;
};

// A compute shader with storage buffers at bindings 0, 1, ... and push constants.
class Pipeline {
  public:
    Pipeline(const Device&, std::span<const std::uint32_t> spirv, std::uint32_t buffers, std::uint32_t constant_bytes);

    void bind(std::uint32_t binding, const Buffer&);
    void dispatch(VkCommandBuffer, const void* constants, std::uint32_t groups) const;

  private:
    VkDevice device_;
    std::uint32_t constant_bytes_;
    Owned<VkDescriptorSetLayout> set_layout_;
    Owned<VkPipelineLayout> layout_;
    Owned<VkPipeline> handle_;
    Owned<VkDescriptorPool> pool_;
    VkDescriptorSet set_ = VK_NULL_HANDLE;
};

}  // namespace qwen3moe::vulkan
