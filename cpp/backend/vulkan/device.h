// A Vulkan device with one compute queue, and the pipelines made for it. The process has one of each: models share it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backend/vulkan/owned.h"
#include "backend/vulkan/pipeline.h"

namespace qwen3moe::vulkan {

// How a device is told to treat floats; each is asked of it where it has the choice.
struct FloatModes {
    bool round_to_even;
    bool keep_special;  // signed zeros, infinities and NaN
};

// How shaders are made for a device. The bits are the same in any case.
struct Style {
    bool packed_dot;           // products of packed int8 by the device's instruction
    std::uint32_t threads;     // of a workgroup, where that is free: see threads.glsl
    std::uint32_t workgroups;  // that are at work at a time, of those that each make something for themselves
};

struct Limits {
    VkDeviceSize range;       // of a storage buffer that is bound
    VkDeviceSize allocation;  // of memory, and of a buffer in it
    std::uint32_t groups[3];  // workgroups of a dispatch
    std::uint32_t shared;     // bytes of memory that a workgroup shares
    double tick;              // ns of a timestamp
    std::uint32_t patience;   // ns that a waiting thread stays awake: none where the processor is the device
};

class Device {
  public:
    // The process's device of this number; another one after it was lost. Throws DeviceError in a forked process.
    static std::shared_ptr<Device> open(std::uint32_t number);

    explicit Device(VkPhysicalDevice);

    VkDevice handle() const { return device_.handle; }
    std::uint32_t family() const { return family_; }
    FloatModes float_modes() const { return float_modes_; }
    const Limits& limits() const { return limits_; }
    const Style& style() const { return style_; }
    VkPipelineCache pipeline_cache() const { return pipeline_cache_.get(); }

    // The first type of memory among `allowed` that has all the properties; ~0 if none has.
    std::uint32_t memory_type(std::uint32_t allowed, VkMemoryPropertyFlags properties) const;
    // Throws OutOfMemoryError unless `bytes` are at most 95 % of what the device has free.
    void require_free(std::uint64_t bytes, const std::string& what) const;
    void count(std::int64_t bytes) { taken_ += static_cast<std::uint64_t>(bytes); }  // taken, or given back

    const Pipeline& pipeline(const PipelineKey&);
    const PipelineLayout& layout(std::uint32_t buffers);

    // `doing` names the work, should it fail.
    void submit(VkCommandBuffer, VkFence, const char* doing);
    // Whether the work behind a fence is done, within so many nanoseconds.
    bool done(VkFence, std::uint64_t nanoseconds, const char* doing);
    void require_usable() const;  // by this process, and not lost

  private:
    VkPhysicalDevice physical_;
    FloatModes float_modes_;
    Limits limits_;
    bool has_budget_;
    Style style_;
    std::uint32_t family_;  // of queues
    OwnedDevice device_;
    VkQueue queue_ = VK_NULL_HANDLE;
    Owned<VkPipelineCache> pipeline_cache_;
    std::mutex queue_turn_, pipelines_turn_;
    std::map<std::uint32_t, PipelineLayout> layouts_;
    std::map<PipelineKey, Pipeline> pipelines_;
    std::atomic<std::uint64_t> taken_{0};  // bytes of the device
    std::atomic<bool> lost_{false};
};

}  // namespace qwen3moe::vulkan
