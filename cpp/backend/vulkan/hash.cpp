#include <algorithm>

#include "backend/vulkan.h"
#include "backend/vulkan/stream.h"

namespace qwen3moe::vulkan {

std::uint64_t hash(std::uint32_t number, const HashRange& range) {
    constexpr std::uint64_t kDispatch = 1u << 26;
    const std::shared_ptr<Device> device = Device::open(number);
    const Buffer sum(device, sizeof(QmHash), Where::device), result(device, sizeof(QmHash), Where::device_to_host);
    Stream stream(device);
    stream.name("hashing");
    stream.recording({}).clear(sum.all());
    for (std::uint64_t at = 0; at < range.count; at += kDispatch) {
        const auto count = static_cast<std::uint32_t>(std::min(kDispatch, range.count - at));
        const HashParams params{range.function, static_cast<std::uint32_t>(range.first + at), count};
        stream.recording({}).dispatch({Shader::selftest}, {out(sum.all())}, params, {256});
        stream.submit();
    }
    stream.recording({}).copy(sum.all(), result.all());
    stream.finish({});
    return std::uint64_t(result.as<QmHash>()->high) << 32 | result.as<QmHash>()->low;
}

}  // namespace qwen3moe::vulkan
