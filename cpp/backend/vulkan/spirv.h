// Execution modes are written into a shader when the device is known: one binary serves every device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/vulkan/device.h"

namespace qwen3moe::vulkan {

std::vector<std::uint32_t> with_float_modes(std::span<const std::uint32_t> spirv, FloatModes);

}  // namespace qwen3moe::vulkan
