// The steps on a CUDA device: what they work on, and one launch function for each. All pointers are the device's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "shared/steps.h"

namespace qwen3moe::cuda {

// Where sixteen bytes of a row are among its sixteens: see layout.h.
__host__ __device__ inline uint turned(uint group, std::size_t row, uint turn) {
    return group ^ (static_cast<uint>(row) & turn);
}

// A matrix whose blocks are taken apart into planes, as layout.h says; its rows follow each other in every plane.
struct Weight {
    const std::uint8_t* plane[4];
    uint row_bytes[4];  // of each plane
    uint turn[4];       // of each plane, see layout.h
    uint type;          // gguf::Type
    uint columns;       // weights of a row
};

// Rows of activations as floats and as X16 in blocks of 256, the last padded with zeros.
struct Activations {
    float* values;      // [rows][columns]
    std::int8_t* high;  // [rows][blocks * 256]
    std::int8_t* low;   // [rows][blocks * 256]
    int* sums;          // [rows][blocks * 16], of X over 16 values each
    float* scale;       // [rows][blocks]
    uint columns;

    __host__ __device__ uint blocks() const { return (columns + 255) / 256; }
};

// The first layer of one sequence's cache; the others follow it in each of the four. K and V are kept as two digits. V
// is kept in runs of 16 positions, so that attention reads sixteen of one dimension at once.
inline constexpr uint kRun = 16;
struct CacheView {
    std::int8_t* k;  // [layers][kv_heads][context][high, low][head_dim]
    std::int8_t* v;  // [layers][kv_heads][context / 16][high, low][head_dim][16]
    float* k_scale;  // [layers][kv_heads][context]
    float* v_scale;  // [layers][kv_heads][context]
    uint context;    // a multiple of kContextStep

    __host__ __device__ std::size_t row(uint layer, uint kv_heads, uint kv) const {
        return (std::size_t(layer) * kv_heads + kv) * context;
    }
};
inline constexpr uint kContextStep = 64;

// Where dimension 0, high digit, of a position of one head of V is; its other digit is 16 * head_dim further on.
__host__ __device__ inline std::size_t v_offset(uint position, uint head_dim) {
    return std::size_t(position / kRun) * 2 * head_dim * kRun + position % kRun;
}

// Where each row of the batch belongs.
struct Place {
    uint sequence;  // index into the batch's CacheViews
    uint position;
};

// Consecutive rows of the batch that are of one sequence and attend together.
struct QueryTile {
    uint first;
    uint count;
};

struct Queries {
    std::int8_t* high;  // [tokens][heads][head_dim], the digits of Q
    std::int8_t* low;
    float* scale;  // [tokens][heads], times score_scale
};

// What attention makes of each block of 256 keys where the blocks are made side by side, before they are merged.
struct KeyBlocks {
    float* values;   // [tokens][heads][count][head_dim]
    float* maximum;  // [tokens][heads][count]
    float* total;    // [tokens][heads][count]
    uint count;      // enough for the longest sequence of the batch
};

// Slots (token * used + rank) in the order of their experts, cut into tiles of at most kTile slots of one expert.
struct ExpertTiles {
    uint* cursor;  // [experts], counts, then places
    uint* order;   // [tokens * used]
    uint4* tiles;  // expert, first in `order`, how many; 0
    uint* count;   // of tiles
};
inline constexpr uint kTile = 32;
constexpr uint most_tiles(uint slots, uint experts) { return slots / kTile + (experts < slots ? experts : slots); }

// The rows that experts work on. Few rows are taken one by one from `ids`, many by tiles.
struct Experts {
    const std::int32_t* ids;  // [tokens * used]
    ExpertTiles tiles;
};

cudaError_t embed(const EmbedParams&, const Weight&, const std::int32_t* tokens, float* residual, cudaStream_t);
cudaError_t norm(const NormParams&, const float* x, const float* weight, const Activations& out, cudaStream_t);
cudaError_t qkv(const QkvParams&, const Weight& q, const Weight& k, const Weight& v, const Activations& in,
                float* q_out, float* k_out, float* v_out, cudaStream_t);
cudaError_t rope_append(const RopeAppendParams&, float* q, float* k, const float* v, const float* q_norm,
                        const float* k_norm, const float* rope, const Place*, const CacheView*, uint layer,
                        const Queries&, cudaStream_t);
// tiles: of the device, `tile_count` of at most query_tile_rows each. Few rows are taken with a block of threads for
// each block of keys, if `apart` is set, and need KeyBlocks; many with one that goes through all of them.
uint query_tile_rows(const AttentionParams&);
cudaError_t attention(const AttentionParams&, const Queries&, const Place*, const CacheView*, uint layer,
                      const QueryTile* tiles, uint tile_count, bool apart, const KeyBlocks&, const Activations& out,
                      cudaStream_t);
cudaError_t output(const OutputParams&, const Weight&, const Activations& in, float* residual, cudaStream_t);
cudaError_t router(const RouterParams&, const Weight&, const Activations& in, float* logits, cudaStream_t);
cudaError_t topk(const TopkParams&, const float* logits, float* probabilities, std::int32_t* ids, float* weights,
                 const ExpertTiles&, cudaStream_t);
cudaError_t gate_up(const GateUpParams&, const Weight& gate, const Weight& up, const Activations& in, const Experts&,
                    float* gate_out, float* up_out, cudaStream_t);
cudaError_t swiglu(const SwigluParams&, const float* gate, const float* up, const Activations& out, cudaStream_t);
cudaError_t down(const DownParams&, const Weight&, const Activations& in, const Experts&, float* out, cudaStream_t);
cudaError_t combine(const CombineParams&, const float* expert_out, const float* weights, float* moe_out,
                    float* residual, cudaStream_t);
// Rows `wanted` of the residual.
cudaError_t select(const NormParams&, const float* residual, const uint* wanted, float* selected, cudaStream_t);
// in: from the first of the wanted rows that this call is for
cudaError_t logits(const LogitsParams&, const Weight&, const Activations& in, float* out, cudaStream_t);

// What a choice leaves between its kernels.
inline constexpr uint kChoiceParts = 64;
struct Choosing {
    unsigned long long* largest;  // [rows][kChoiceParts], keys as in largest.cuh
    float* sums;                  // [rows][256], of exponentials
};
// out: the host may have it
cudaError_t choose(const ChooseParams&, const float* logits, const Choosing&, Choice* out, cudaStream_t);

// Sets *flag where a value is not finite.
cudaError_t find_nonfinite(const float* x, std::size_t n, uint* flag, cudaStream_t);

}  // namespace qwen3moe::cuda
