#include "backend/vulkan/memory.h"

#include <initializer_list>

#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

// From the best kind of memory to the one that every device has.
std::uint32_t memory_type(const Device& device, std::uint32_t allowed, Where where) {
    constexpr VkMemoryPropertyFlags kSeen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags kinds[3][2] = {
        {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},
        {kSeen, kSeen},
        {kSeen | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, kSeen},
    };
    for (const VkMemoryPropertyFlags flags : kinds[static_cast<std::size_t>(where)])
        if (const std::uint32_t type = device.memory_type(allowed, flags); type != ~0u) return type;
    throw DeviceError("Vulkan: the device has no memory of the kind wanted");
}

}  // namespace

Buffer::Buffer(std::shared_ptr<Device> device, VkDeviceSize bytes, Where where)
    : device_(std::move(device)),
      bytes_(bytes),
      memory_(device_->handle(), vkFreeMemory),
      handle_(device_->handle(), vkDestroyBuffer) {
    const VkDevice handle = device_->handle();
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    if (where == Where::device)
        info.usage |= VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    check(vkCreateBuffer(handle, &info, nullptr, handle_.put()), "making a buffer");
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(handle, handle_.get(), &needs);
    VkMemoryAllocateFlagsInfo flags{};
    flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo memory{};
    memory.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    memory.pNext = where == Where::device ? &flags : nullptr;
    memory.allocationSize = needs.size;
    memory.memoryTypeIndex = memory_type(*device_, needs.memoryTypeBits, where);
    check(vkAllocateMemory(handle, &memory, nullptr, memory_.put()), "allocating memory");
    check(vkBindBufferMemory(handle, handle_.get(), memory_.get(), 0), "binding memory");
    if (where == Where::device) {
        VkBufferDeviceAddressInfo place{};
        place.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
        place.buffer = handle_.get();
        address_ = vkGetBufferDeviceAddress(handle, &place);
        taken_ = static_cast<std::int64_t>(needs.size);
        device_->count(taken_);
    } else {
        void* data = nullptr;
        check(vkMapMemory(handle, memory_.get(), 0, VK_WHOLE_SIZE, 0, &data), "mapping memory");
        data_ = static_cast<std::byte*>(data);
    }
}

Buffer::~Buffer() { device_->count(-taken_); }

}  // namespace qwen3moe::vulkan
