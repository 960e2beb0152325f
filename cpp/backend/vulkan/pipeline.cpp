#include "backend/vulkan/pipeline.h"

#include <array>
#include <span>
#include <vector>

#include "backend/vulkan/device.h"
#include "backend/vulkan/shaders.h"
#include "backend/vulkan/spirv.h"

namespace qwen3moe::vulkan {

PipelineLayout::PipelineLayout(const Device& device, std::uint32_t buffers)
    : set_(device.handle(), vkDestroyDescriptorSetLayout), layout_(device.handle(), vkDestroyPipelineLayout) {
    std::vector<VkDescriptorSetLayoutBinding> bindings(buffers);
    for (std::uint32_t i = 0; i < buffers; i++)
        bindings[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
    VkDescriptorSetLayoutCreateInfo set{};
    set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set.bindingCount = buffers;
    set.pBindings = bindings.data();
    check(vkCreateDescriptorSetLayout(device.handle(), &set, nullptr, set_.put()), "making a descriptor layout");

    const VkPushConstantRange constants{VK_SHADER_STAGE_COMPUTE_BIT, 0, kConstantBytes};
    VkPipelineLayoutCreateInfo layout{};
    layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout.setLayoutCount = 1;
    const VkDescriptorSetLayout sets[] = {set_.get()};
    layout.pSetLayouts = sets;
    layout.pushConstantRangeCount = 1;
    layout.pPushConstantRanges = &constants;
    check(vkCreatePipelineLayout(device.handle(), &layout, nullptr, layout_.put()), "making a pipeline layout");
}

// Every shader is given every constant, and looks at those that it declares.
Pipeline::Pipeline(Device& device, const PipelineKey& key)
    : name_(shader_code(key.shader).name),
      layout_(&device.layout(shader_code(key.shader).buffers)),
      handle_(device.handle(), vkDestroyPipeline) {
    const std::vector<std::uint32_t> code = with_float_modes(shader_code(key.shader).spirv, device.float_modes());
    VkShaderModuleCreateInfo module{};
    module.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module.codeSize = code.size() * sizeof(code[0]);
    module.pCode = code.data();
    Owned<VkShaderModule> shader(device.handle(), vkDestroyShaderModule);
    check(vkCreateShaderModule(device.handle(), &module, nullptr, shader.put()), "reading a shader");

    constexpr std::uint32_t kWord = sizeof(std::uint32_t);
    const Style style = device.style();
    const std::array values = {key.type,  key.head_dim,  std::uint32_t(style.packed_dot),
                               key.span,  style.threads, key.blocks,
                               key.heads, key.experts};
    std::array<VkSpecializationMapEntry, values.size()> entries;
    for (std::uint32_t i = 0; i < entries.size(); i++) entries[i] = {i, i * kWord, kWord};
    const VkSpecializationInfo constants{entries.size(), entries.data(), sizeof(values), values.data()};
    VkComputePipelineCreateInfo pipeline{};
    pipeline.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    pipeline.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    pipeline.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    pipeline.stage.module = shader.get();
    pipeline.stage.pName = "main";
    pipeline.stage.pSpecializationInfo = &constants;
    pipeline.layout = layout_->handle();
    check(vkCreateComputePipelines(device.handle(), device.pipeline_cache(), 1, &pipeline, nullptr, handle_.put()),
          "compiling a shader");
}

}  // namespace qwen3moe::vulkan
