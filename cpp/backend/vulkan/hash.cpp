#include <algorithm>
#include <new>

#include "backend/vulkan.h"
#include "backend/vulkan/device.h"

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint32_t kShader[] = {
#include "shaders/selftest.inc"
};

}  // namespace

std::uint64_t hash(std::uint32_t number, const HashRange& range) {
    constexpr std::uint64_t kDispatch = 1u << 26;
    Device device(number);
    const Buffer sum(device, sizeof(QmHash));
    auto* result = new (sum.data()) QmHash{0, 0};
    Pipeline pipeline(device, kShader, 1, sizeof(HashParams));
    pipeline.bind(0, sum);
    for (std::uint64_t at = 0; at < range.count; at += kDispatch) {
        const auto count = static_cast<std::uint32_t>(std::min(kDispatch, range.count - at));
        const HashParams params{range.function, static_cast<std::uint32_t>(range.first + at), count};
        device.run([&](VkCommandBuffer commands) { pipeline.dispatch(commands, &params, 256); });
    }
    return std::uint64_t(result->high) << 32 | result->low;
}

}  // namespace qwen3moe::vulkan
