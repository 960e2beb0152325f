// The shaders' SPIR-V, compiled with the package.
#pragma once

#include <cstdint>
#include <span>

#include "backend/vulkan/pipeline.h"

namespace qwen3moe::vulkan {

struct ShaderCode {
    std::span<const std::uint32_t> spirv;
    std::uint32_t buffers;  // that it has bound
    const char* name;
};

const ShaderCode& shader_code(Shader);

}  // namespace qwen3moe::vulkan
