// Buffers, each with memory of its own, and parts of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/vulkan/device.h"
#include "vulkan/params.h"

namespace qwen3moe::vulkan {

enum class Where : std::uint8_t { device, host_to_device, device_to_host };

// Part of a buffer. Without a buffer: nothing, or what shaders reach by its address alone.
struct Region {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceSize offset = 0;
    VkDeviceSize bytes = 0;
};

class Buffer {
  public:
    Buffer(std::shared_ptr<Device>, VkDeviceSize bytes, Where);
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    VkBuffer handle() const { return handle_.get(); }
    Region all() const { return {handle(), 0, bytes_}; }
    Region part(VkDeviceSize offset, VkDeviceSize bytes) const { return {handle(), offset, bytes}; }
    VkDeviceAddress address() const { return address_; }  // on the device
    template <class T>
    T* as(VkDeviceSize offset = 0) const {  // of the host, which sees all but what is on the device
        return reinterpret_cast<T*>(data_ + offset);
    }

  private:
    std::shared_ptr<Device> device_;
    VkDeviceSize bytes_;
    std::int64_t taken_ = 0;  // of the device
    Owned<VkDeviceMemory> memory_;
    Owned<VkBuffer> handle_;
    VkDeviceAddress address_ = 0;
    std::byte* data_ = nullptr;
};

inline Address address_of(VkDeviceAddress a) { return {static_cast<uint>(a), static_cast<uint>(a >> 32)}; }

// Cuts a buffer into arrays. Counted without a buffer first, it says how many bytes they need.
class Arena {
  public:
    explicit Arena(VkBuffer buffer = VK_NULL_HANDLE) : buffer_(buffer) {}

    template <class T>
    void take(Region& array, std::uint64_t count) {
        array = {buffer_, bytes_, count * sizeof(T)};
        bytes_ += (array.bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
    std::uint64_t bytes() const { return bytes_; }

  private:
    static constexpr std::uint64_t kAlignment = 256;  // more than any device wants
    VkBuffer buffer_;
    std::uint64_t bytes_ = 0;
};

// From the first byte of one to the last of the other.
inline Region spanning(const Region& first, const Region& last) {
    return {first.buffer, first.offset, last.offset + last.bytes - first.offset};
}

}  // namespace qwen3moe::vulkan
