// Compute shaders, compiled for a device when they are first used.
#pragma once

#include <compare>
#include <cstdint>

#include "backend/vulkan/owned.h"

namespace qwen3moe::vulkan {

class Device;

// kernels/vulkan has a file for each.
enum class Shader : std::uint8_t {
    selftest,
    layout,
    embed,
    norm,
    rope_append,
    attention,
    merge,
    topk,
    group,
    swiglu,
    combine,
    combine_norm,
    select,
    finite,
    dot_floats,
    dot_singles,
    dot_tiles,
};

// A shader and what it is specialised for, where it looks at that.
struct PipelineKey {
    Shader shader;
    std::uint32_t type = 0;      // of weights: gguf::Type
    std::uint32_t head_dim = 1;  // 64 or 128
    std::uint32_t span = 1;      // of dot_singles: blocks side by side

    auto operator<=>(const PipelineKey&) const = default;
};

inline constexpr std::uint32_t kConstantBytes = 128;  // of push constants, that every device has

// Storage buffers at bindings 0, 1, ... and push constants.
class PipelineLayout {
  public:
    PipelineLayout(const Device&, std::uint32_t buffers);

    VkDescriptorSetLayout set() const { return set_.get(); }
    VkPipelineLayout handle() const { return layout_.get(); }

  private:
    Owned<VkDescriptorSetLayout> set_;
    Owned<VkPipelineLayout> layout_;
};

class Pipeline {
  public:
    Pipeline(Device&, const PipelineKey&);

    VkPipeline handle() const { return handle_.get(); }
    const PipelineLayout& layout() const { return *layout_; }
    std::uint32_t buffers() const { return buffers_; }

  private:
    std::uint32_t buffers_;
    const PipelineLayout* layout_;
    Owned<VkPipeline> handle_;
};

}  // namespace qwen3moe::vulkan
