// To the layout of weights on a GPU, which backend/layout.h describes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "backend/layout.h"

namespace qwen3moe::cuda {

using gpu::Field;
using gpu::Layout;
using gpu::layout;

// Copies one field of `blocks` blocks as they lie in the file to its plane.
cudaError_t take_field(const std::uint8_t* file_blocks, std::uint32_t block_bytes, Field, std::size_t blocks,
                       std::uint8_t* plane, cudaStream_t);

}  // namespace qwen3moe::cuda
