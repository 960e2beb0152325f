#include "cuda/layout.h"

namespace qwen3moe::cuda {
namespace {

// By halves: every offset and size in a block is even.
__global__ void __launch_bounds__(256)
    take_field_kernel(const std::uint16_t* from, unsigned stride, unsigned offset, std::size_t first, std::size_t count,
                      Placing placing, std::uint8_t* plane) {
    const std::size_t step = std::size_t(gridDim.x) * blockDim.x;
    const unsigned width = placing.field_bytes / 2;
    for (std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::size_t block = i / width;
        const auto half = static_cast<unsigned>(i - block * width);
        *reinterpret_cast<std::uint16_t*>(plane + placing(first + block, 2 * half)) =
            from[block * stride + offset + half];
    }
}

}  // namespace

cudaError_t take_field(const std::uint8_t* file_blocks, std::uint32_t block_bytes, Field field, std::size_t first,
                       std::size_t blocks, const Placing& placing, std::uint8_t* plane, cudaStream_t stream) {
    take_field_kernel<<<1024, 256, 0, stream>>>(reinterpret_cast<const std::uint16_t*>(file_blocks), block_bytes / 2,
                                                field.offset / 2, first, blocks * (field.bytes / 2), placing, plane);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
