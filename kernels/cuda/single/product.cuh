// A matrix times the input: a few rows at a time for each warp of the grid.
#pragma once

#include <type_traits>

#include "cuda/single/input.cuh"

namespace qwen3moe::cuda {

// Blocks of threads [first_block, end_block) share the rows, kRows at a time. Weights are on their way before
// `make_input` waits for the step before. put(row, value) is called by the one lane that has it.
template <class Format, uint kRows, uint kDepth, class MakeInput, class Put>
__device__ __forceinline__ void product(const Weight& w, uint rows, uint first_block, uint end_block, const Input& in,
                                        MakeInput make_input, Put put) {
    const uint lane = threadIdx.x & 31, k = lane & 7;
    const uint blocks = (w.columns + 255) / 256;
    const uint items = (blocks + 3) / 4;
    // Lanes past the last block do work that is not used.
    const auto block_of = [&](uint item) { return min(4 * item + lane / 8, blocks - 1); };
    const auto load = [&](Cursor at, typename Format::Raw(&raw)[kRows]) {
        unrolled<kRows>(
            [&](auto r) { raw[r] = Format::fetch(w, min(kRows * at.tile + r, rows - 1), block_of(at.item), k); });
    };
    const uint first = (blockIdx.x - first_block) * kWarps + threadIdx.x / 32;
    const uint end = (rows + kRows - 1) / kRows, stride = (end_block - first_block) * kWarps;
    Ahead<Format, kRows, kDepth> weights;
    weights.start(first, end, stride, items, load);
    make_input();
    float sum = 0.0f;
    weights.run(first, end, stride, items, load, [&](Cursor at, const typename Format::Raw(&raw)[kRows]) {
        const uint block = block_of(at.item);
        const float term =
            block_term<Format, kRows>(raw, in.runs(block, k), in.scale[block], k, 8 * block + k < w.columns / 32);
        sum = add_terms(at.item == 0 ? 0.0f : sum, term, 4 * at.item, blocks);
        const uint row = kRows * at.tile + own_row<kRows>(k);
        if (at.item + 1 == items && lane < 8 && k % (8 / kRows) == 0 && row < rows) put(row, sum);
    });
}

// Blocks of threads for so many tiles, a warp for each, but no more than `most` to a multiprocessor.
inline uint grid_for(uint tiles, uint most) {
    int device = 0, processors = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    return min((tiles + kWarps - 1) / kWarps, most * static_cast<uint>(processors));
}

// Two formats can be in one kernel; which go together is what files have: K-quants with Q6_K.
template <class Same, class Pair>
cudaError_t with_formats(uint first, uint second, Same same, Pair pair) {
    return with_format(
        first, [](auto) { return cudaErrorInvalidValue; },
        [&](auto format) -> cudaError_t {
            using First = decltype(format);
            if (first == second) return same(format);
            if constexpr (std::is_same_v<First, Q4K> || std::is_same_v<First, Q5K>)
                if (second == static_cast<uint>(gguf::Type::Q6_K)) return pair(format, Q6K{});
            return cudaErrorInvalidValue;
        });
}

}  // namespace qwen3moe::cuda
