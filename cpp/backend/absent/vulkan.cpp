#include "backend/vulkan.h"

#include "errors.h"

namespace qwen3moe::vulkan {

Devices devices() { return {{}, "this build has no Vulkan; build with -DQWEN3MOE_VULKAN=ON, glslc and volk"}; }
std::uint64_t hash(std::uint32_t, const HashRange&) { throw BackendUnavailableError(devices().reason); }
std::unique_ptr<Executor> open(std::uint32_t, const Config&, const Weights&, std::uint32_t, const Poll&) {
    throw BackendUnavailableError(devices().reason);
}

}  // namespace qwen3moe::vulkan
