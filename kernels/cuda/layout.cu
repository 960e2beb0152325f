#include "cuda/layout.h"

namespace qwen3moe::cuda {
namespace {

// By halves: every offset and size in a block is even.
__global__ void __launch_bounds__(256) take_field_kernel(const std::uint16_t* from, unsigned stride, unsigned offset,
                                                         unsigned width, std::size_t count, std::uint16_t* to) {
    const std::size_t step = std::size_t(gridDim.x) * blockDim.x;
    for (std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
        to[i] = from[i / width * stride + offset + i % width];
}

}  // namespace

cudaError_t take_field(const std::uint8_t* file_blocks, std::uint32_t block_bytes, Field field, std::size_t blocks,
                       std::uint8_t* plane, cudaStream_t stream) {
    take_field_kernel<<<1024, 256, 0, stream>>>(reinterpret_cast<const std::uint16_t*>(file_blocks), block_bytes / 2,
                                                field.offset / 2, field.bytes / 2, blocks * (field.bytes / 2),
                                                reinterpret_cast<std::uint16_t*>(plane));
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
