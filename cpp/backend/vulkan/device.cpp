#include "backend/vulkan/device.h"

#include <vector>

#include "backend/vulkan/instance.h"
#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint64_t kPatience = 60'000'000'000;  // ns: a dispatch that takes longer is a device that hangs

std::uint32_t compute_family(VkPhysicalDevice device) {
    std::uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (std::uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) return i;
    throw DeviceError("Vulkan: the device has no compute queue");
}

// Where all widths must share one rounding mode, declaring it for 32 bits alone is not allowed.
FloatModes float_modes_of(VkPhysicalDevice device) {
    VkPhysicalDeviceVulkan12Properties more{};
    more.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
    VkPhysicalDeviceProperties2 all{};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    all.pNext = &more;
    vkGetPhysicalDeviceProperties2(device, &all);
    const bool separate = more.roundingModeIndependence != VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    return {more.shaderRoundingModeRTEFloat32 && separate, more.shaderSignedZeroInfNanPreserveFloat32 == VK_TRUE};
}

VkDevice open(VkPhysicalDevice physical, std::uint32_t family) {
    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue{};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueFamilyIndex = family;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkPhysicalDeviceVulkan13Features features{};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    features.maintenance4 = VK_TRUE;  // shaders give their group's size as SPIR-V 1.6 does
    VkDeviceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &features;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    VkDevice device = VK_NULL_HANDLE;
    check(vkCreateDevice(physical, &info, nullptr, &device), "opening the device");
    return device;
}

}  // namespace

Device::Device(std::uint32_t number)
    : physical_(instance().devices.at(number)),
      float_modes_(float_modes_of(physical_)),
      family_(compute_family(physical_)),
      device_{open(physical_, family_)},
      pool_(handle(), vkDestroyCommandPool),
      fence_(handle(), vkDestroyFence) {
    vkGetDeviceQueue(handle(), family_, 0, &queue_);
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = family_;
    check(vkCreateCommandPool(handle(), &pool, nullptr, pool_.put()), "making a command pool");
    VkCommandBufferAllocateInfo buffer{};
    buffer.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    buffer.commandPool = pool_.get();
    buffer.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    buffer.commandBufferCount = 1;
    check(vkAllocateCommandBuffers(handle(), &buffer, &commands_), "making a command buffer");
    VkFenceCreateInfo fence{};
    fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    check(vkCreateFence(handle(), &fence, nullptr, fence_.put()), "making a fence");
}

std::uint32_t Device::memory_type(std::uint32_t allowed, VkMemoryPropertyFlags wanted) const {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(physical_, &memory);
    for (std::uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((allowed >> i & 1) && (memory.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
    throw DeviceError("Vulkan: the device has no memory of the kind wanted");
}

void Device::begin() {
    VkCommandBufferBeginInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    check(vkBeginCommandBuffer(commands_, &info), "beginning a command buffer");
}

void Device::submit_and_wait() {
    check(vkEndCommandBuffer(commands_), "ending a command buffer");
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands_;
    const VkFence fence = fence_.get();
    check(vkQueueSubmit(queue_, 1, &info, fence), "submitting work");
    check(vkWaitForFences(handle(), 1, &fence, VK_TRUE, kPatience), "waiting for the device");
    check(vkResetFences(handle(), 1, &fence), "resetting a fence");
}

Buffer::Buffer(const Device& device, VkDeviceSize bytes)
    : memory_(device.handle(), vkFreeMemory), handle_(device.handle(), vkDestroyBuffer) {
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;
    check(vkCreateBuffer(device.handle(), &info, nullptr, handle_.put()), "making a buffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device.handle(), handle(), &needs);
    VkMemoryAllocateInfo memory{};
    memory.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    memory.allocationSize = needs.size;
    memory.memoryTypeIndex = device.memory_type(
        needs.memoryTypeBits, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    check(vkAllocateMemory(device.handle(), &memory, nullptr, memory_.put()), "allocating memory");
    check(vkBindBufferMemory(device.handle(), handle(), memory_.get(), 0), "binding memory");
    check(vkMapMemory(device.handle(), memory_.get(), 0, VK_WHOLE_SIZE, 0, &data_), "mapping memory");
}

}  // namespace qwen3moe::vulkan
