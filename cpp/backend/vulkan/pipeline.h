// Compute shaders, compiled for a device when they are first used.
#pragma once

#include <compare>
#include <cstdint>

#include "backend/vulkan/owned.h"

namespace qwen3moe::vulkan {

class Device;

// kernels/vulkan has a file for each, and those that begin with single_ are in its folder of that name.
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
    choose_largest,
    choose_sums,
    choose,
    dot_floats,
    dot_singles,
    dot_tiles,
    single_qkv,
    single_attention,
    single_output,
    single_router,
    single_gate_up,
    single_down,
    single_logits,
};

// A shader and what it is specialised for, where it looks at that.
struct PipelineKey {
    Shader shader;
    std::uint32_t type = 0;      // of weights: gguf::Type
    std::uint32_t head_dim = 1;  // 64 or 128
    std::uint32_t span = 1;      // items side by side: see rows.glsl
    std::uint32_t blocks = 1;    // of activations that a workgroup makes
    std::uint32_t heads = 1;     // that a workgroup takes together
    std::uint32_t experts = 1;

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
    const char* name() const { return name_; }

  private:
    const char* name_;
    const PipelineLayout* layout_;
    Owned<VkPipeline> handle_;
};

}  // namespace qwen3moe::vulkan
