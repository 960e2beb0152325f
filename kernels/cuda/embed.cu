// Rows of the embedding become the residual.
#include "cuda/launch.cuh"
#include "cuda/steps.h"
#include "cuda/unpack.cuh"

namespace qwen3moe::cuda {
namespace {

template <class Format>
__global__ void __launch_bounds__(256)
    embed_floats(EmbedParams p, Weight w, const std::int32_t* tokens, float* residual) {
    after_step_before();
    const std::size_t from = std::size_t(tokens[blockIdx.x]) * p.width;
    float* row = residual + std::size_t(blockIdx.x) * p.width;
    for (uint i = threadIdx.x; i < p.width; i += blockDim.x) row[i] = qm_settle(Format::at(w, from + i));
}

template <class Format>
__device__ __forceinline__ float value_of(const Part& part, Factors f, uint i, int q) {
    if constexpr (!Format::kSuper) {
        const float product = qm_mul(part.d, float(q));
        return Format::kMin ? qm_add(product, part.dmin) : product;
    } else if constexpr (Format::kMin) {
        return qm_weight_min(f.d, part.scale[i], q, f.dmin, part.minimum[i]);
    } else {
        return qm_weight(f.d, part.scale[i], q);
    }
}

// A thread takes a part of a block.
template <class Format>
__global__ void __launch_bounds__(256)
    embed_blocks(EmbedParams p, Weight w, const std::int32_t* tokens, float* residual) {
    after_step_before();
    const std::size_t from = static_cast<uint>(tokens[blockIdx.x]);
    float* row = residual + std::size_t(blockIdx.x) * p.width;
    for (uint at = threadIdx.x; at < p.width / 32; at += blockDim.x) {
        const uint block = at / 8, k = at & 7;
        const typename Format::Raw raw = Format::fetch(w, from, block, k);
        Part part;
        Format::unpack(raw, k, part);
        Factors f{};
        if constexpr (Format::kSuper) f = factors_of<Format>(Format::factor_bits(raw));
#pragma unroll
        for (uint i = 0; i < 2; i++)
#pragma unroll
            for (uint j = 0; j < 16; j++) {
                const int q = static_cast<std::int8_t>(static_cast<uint>(part.q[i][j / 4]) >> (8 * (j % 4)));
                row[256 * block + 16 * Format::run(k, i) + j] = qm_settle(value_of<Format>(part, f, i, q));
            }
    }
}

}  // namespace

cudaError_t embed(const EmbedParams& p, const Weight& w, const std::int32_t* tokens, float* residual,
                  cudaStream_t stream) {
    return with_format(
        w.type,
        [&](auto format) {
            return launch(embed_floats<decltype(format)>, p.tokens, 256, stream, p, w, tokens, residual);
        },
        [&](auto format) {
            return launch(embed_blocks<decltype(format)>, p.tokens, 256, stream, p, w, tokens, residual);
        });
}

}  // namespace qwen3moe::cuda
