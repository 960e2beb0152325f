#include <vector>

#include "backend/vulkan/device.h"
#include "backend/vulkan/spirv.h"

namespace qwen3moe::vulkan {

Pipeline::Pipeline(const Device& device, std::span<const std::uint32_t> spirv, std::uint32_t buffers,
                   std::uint32_t constant_bytes)
    : device_(device.handle()),
      constant_bytes_(constant_bytes),
      set_layout_(device_, vkDestroyDescriptorSetLayout),
      layout_(device_, vkDestroyPipelineLayout),
      handle_(device_, vkDestroyPipeline),
      pool_(device_, vkDestroyDescriptorPool) {
    const std::vector<std::uint32_t> code = with_float_modes(spirv, device.float_modes());
    VkShaderModuleCreateInfo module{};
    module.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module.codeSize = code.size() * sizeof(code[0]);
    module.pCode = code.data();
    Owned<VkShaderModule> shader(device_, vkDestroyShaderModule);
    check(vkCreateShaderModule(device_, &module, nullptr, shader.put()), "reading a shader");

    std::vector<VkDescriptorSetLayoutBinding> bindings(buffers);
    for (std::uint32_t i = 0; i < buffers; i++)
        bindings[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
    VkDescriptorSetLayoutCreateInfo set_layout{};
    set_layout.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set_layout.bindingCount = buffers;
    set_layout.pBindings = bindings.data();
    check(vkCreateDescriptorSetLayout(device_, &set_layout, nullptr, set_layout_.put()), "making a descriptor layout");

    const VkPushConstantRange constants{VK_SHADER_STAGE_COMPUTE_BIT, 0, constant_bytes};
    VkPipelineLayoutCreateInfo layout{};
    layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout.setLayoutCount = 1;
    const VkDescriptorSetLayout set_layouts[] = {set_layout_.get()};
    layout.pSetLayouts = set_layouts;
    layout.pushConstantRangeCount = constant_bytes ? 1 : 0;
    layout.pPushConstantRanges = &constants;
    check(vkCreatePipelineLayout(device_, &layout, nullptr, layout_.put()), "making a pipeline layout");

    VkComputePipelineCreateInfo pipeline{};
    pipeline.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    pipeline.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    pipeline.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    pipeline.stage.module = shader.get();
    pipeline.stage.pName = "main";
    pipeline.layout = layout_.get();
    check(vkCreateComputePipelines(device_, VK_NULL_HANDLE, 1, &pipeline, nullptr, handle_.put()),
          "compiling a shader");

    const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, buffers};
    VkDescriptorPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
    pool.maxSets = 1;
    pool.poolSizeCount = 1;
    pool.pPoolSizes = &size;
    check(vkCreateDescriptorPool(device_, &pool, nullptr, pool_.put()), "making a descriptor pool");
    VkDescriptorSetAllocateInfo set{};
    set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    set.descriptorPool = pool_.get();
    set.descriptorSetCount = 1;
    set.pSetLayouts = set_layouts;
    check(vkAllocateDescriptorSets(device_, &set, &set_), "making a descriptor set");
}

void Pipeline::bind(std::uint32_t binding, const Buffer& buffer) {
    const VkDescriptorBufferInfo info{buffer.handle(), 0, VK_WHOLE_SIZE};
    VkWriteDescriptorSet write{};
    write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    write.dstSet = set_;
    write.dstBinding = binding;
    write.descriptorCount = 1;
    write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    write.pBufferInfo = &info;
    vkUpdateDescriptorSets(device_, 1, &write, 0, nullptr);
}

void Pipeline::dispatch(VkCommandBuffer commands, const void* constants, std::uint32_t groups) const {
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, handle_.get());
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout_.get(), 0, 1, &set_, 0, nullptr);
    if (constant_bytes_)
        vkCmdPushConstants(commands, layout_.get(), VK_SHADER_STAGE_COMPUTE_BIT, 0, constant_bytes_, constants);
    vkCmdDispatch(commands, groups, 1, 1);
}

}  // namespace qwen3moe::vulkan
