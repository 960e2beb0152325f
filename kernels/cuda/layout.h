// To the layout of weights on a GPU, which backend/layout.h describes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "backend/layout.h"
#include "cuda/steps.h"

namespace qwen3moe::cuda {

using gpu::Field;
using gpu::Layout;
using gpu::layout;

// How a field's bytes lie in its plane. Where a field is sixteens of bytes, these are exchanged within the row by the
// low bits of the row's index: the same sixteen bytes of eight rows are then in banks of their own in shared memory (of
// rows that are no multiple of 128 bytes long, two of the eight share one). turn: these bits, as many as the row has
// room for.
struct Placing {
    std::uint32_t field_bytes;
    std::uint32_t row_blocks;
    std::uint32_t row_bytes;
    std::uint32_t turn;

    Placing(Field field, std::uint32_t blocks)
        : field_bytes(field.bytes), row_blocks(blocks), row_bytes(blocks * field.bytes), turn(0) {
        if (field.bytes % 16 == 0)
            while (turn < 7 && row_bytes / 16 % (2 * turn + 2) == 0) turn = 2 * turn + 1;
    }

    // Of a byte of a block's field in the plane.
    __host__ __device__ std::size_t operator()(std::size_t block, std::uint32_t byte) const {
        const std::size_t row = block / row_blocks;
        const auto in_row = static_cast<std::uint32_t>(block - row * row_blocks) * field_bytes + byte;
        return row * row_bytes + 16 * turned(in_row / 16, row, turn) + in_row % 16;
    }
};

// Copies one field of `blocks` blocks as they lie in the file, the first of them block `first` of the matrix.
cudaError_t take_field(const std::uint8_t* file_blocks, std::uint32_t block_bytes, Field, std::size_t first,
                       std::size_t blocks, const Placing&, std::uint8_t* plane, cudaStream_t);

}  // namespace qwen3moe::cuda
