// Rows of weights times rows of activations: what qkv, output, router, experts and logits are made of.
#pragma once

#include "cuda/steps.h"
#include "cuda/tree.cuh"
#include "cuda/unpack.cuh"

namespace qwen3moe::cuda {

// One matrix and where its products go: row `slot` of a float matrix, column = row of the weight.
struct Job {
    Weight w;
    uint rows;   // of one expert
    float* out;  // [slots][rows]
};

// Up to three matrices with the same activations.
struct Product {
    Job jobs[3];
    uint count;  // of jobs
    Activations in;
    uint slots;
    uint slots_per_row;  // a slot reads row slot / slots_per_row
    Experts experts;     // ids null: there is one matrix, for every slot
    bool add;            // to what is there, as the residual wants it
    bool tiled;          // in tiles of kTile slots that share the weights read, or slot by slot
    uint tiles;          // the most there can be
};

// So few tokens are taken slot by slot, without sorting them by expert.
inline constexpr uint kSingles = 4;
inline bool takes_tiles(uint tokens) { return tokens > kSingles; }

inline Product dense(const Activations& in, uint tokens) {
    const bool tiled = takes_tiles(tokens);
    return {{}, 0, in, tokens, 1, {}, false, tiled, tiled ? (tokens + kTile - 1) / kTile : tokens};
}

inline Product of_experts(const Activations& in, const Experts& experts, uint tokens, uint used, uint count,
                          uint slots_per_row) {
    const bool tiled = takes_tiles(tokens);
    const uint slots = tokens * used;
    return {{}, 0, in, slots, slots_per_row, experts, false, tiled, tiled ? most_tiles(slots, count) : slots};
}

cudaError_t dot_rows(Product, cudaStream_t);            // of any type
cudaError_t dot_singles(const Product&, cudaStream_t);  // jobs of one integer type, slot by slot
cudaError_t dot_tiles(const Product&, cudaStream_t);    // jobs of one integer type, in tiles
cudaError_t dot_floats(const Product&, cudaStream_t);   // jobs of one float type

// The slots that one block of threads works on.
struct Slots {
    uint expert;
    uint first;
    uint count;  // 0: nothing
    const uint* order;

    __device__ uint slot(uint i) const { return order ? order[first + i] : first + i; }
};

__device__ __forceinline__ Slots slots_of(const Product& p, uint tile) {
    if (!p.tiled) return {p.experts.ids ? static_cast<uint>(p.experts.ids[tile]) : 0, tile, 1, nullptr};
    if (!p.experts.ids) {
        const uint left = p.slots - tile * kTile;
        return {0, tile * kTile, left < kTile ? left : kTile, nullptr};
    }
    if (tile >= *p.experts.tiles.count) return {0, 0, 0, nullptr};
    const uint4 t = p.experts.tiles.tiles[tile];
    return {t.x, t.y, t.z, p.experts.tiles.order};
}

// Which job, and which of its tiles of `rows` rows, is number `tile` of all; rows past every job: none.
struct JobTile {
    const Job* job;  // null: none
    uint first;      // row
};

__device__ __forceinline__ JobTile job_tile(const Product& p, uint tile, uint rows) {
    for (uint j = 0; j < p.count; j++) {
        const uint tiles = (p.jobs[j].rows + rows - 1) / rows;
        if (tile < tiles) return {&p.jobs[j], tile * rows};
        tile -= tiles;
    }
    return {nullptr, 0};
}

inline uint job_tiles(const Product& p, uint rows) {
    uint tiles = 0;
    for (uint j = 0; j < p.count; j++) tiles += (p.jobs[j].rows + rows - 1) / rows;
    return tiles;
}

__device__ __forceinline__ void put(const Product& p, const Job& job, uint slot, uint row, float value) {
    float& place = job.out[std::size_t(slot) * job.rows + row];
    place = p.add ? qm_add(place, value) : value;
}

}  // namespace qwen3moe::cuda
