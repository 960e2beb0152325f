// Softmax over all experts; the `used` most probable, lower index first among equals; their weights. Then the batch's
// slots are grouped by expert, where they will be worked on in tiles.
#include "cuda/dot.cuh"
#include "cuda/largest.cuh"
#include "cuda/launch.cuh"
#include "cuda/softmax.cuh"

namespace qwen3moe::cuda {
namespace {

// Of two experts the one with the larger key comes first: by probability, then by lower index.
__device__ __forceinline__ Key expert_key(float probability, uint expert) {
    return key_of(qm_rank_key(probability), expert);
}

// A block of threads for each token; its first warp chooses.
__global__ void __launch_bounds__(256)
    topk_kernel(TopkParams p, const float* logits, float* probabilities, std::int32_t* ids, float* weights) {
    after_step_before();
    __shared__ float shared[256];
    float* prob = probabilities + std::size_t(blockIdx.x) * p.experts;
    std::int32_t* id = ids + std::size_t(blockIdx.x) * p.used;
    float* weight = weights + std::size_t(blockIdx.x) * p.used;
    softmax(logits + std::size_t(blockIdx.x) * p.experts, p.experts, prob, shared);
    if (threadIdx.x >= 32) return;

    constexpr uint kHeld = 4;  // keys that a lane keeps in registers
    Key held[kHeld];
#pragma unroll
    for (uint j = 0; j < kHeld; j++) {
        const uint e = threadIdx.x + 32 * j;
        held[j] = e < p.experts ? expert_key(prob[e], e) : 0;
    }
    Key last = ~Key(0);
    float sum = 0.0f;
    for (uint rank = 0; rank < p.used; rank++) {
        Key best = 0;
#pragma unroll
        for (uint j = 0; j < kHeld; j++) best = held[j] < last && held[j] > best ? held[j] : best;
        for (uint e = threadIdx.x + 32 * kHeld; e < p.experts; e += 32) {
            const Key key = expert_key(prob[e], e);
            best = key < last && key > best ? key : best;
        }
        last = warp_max(best);
        const uint chosen = index_of(last);
        sum = qm_add(sum, prob[chosen]);
        if (threadIdx.x == 0) {
            id[rank] = static_cast<std::int32_t>(chosen);
            weight[rank] = prob[chosen];
        }
    }
    if (p.renormalise == 0) return;
    const float inverse = qm_recip(sum);
    __syncwarp();
    for (uint rank = threadIdx.x; rank < p.used; rank += 32) weight[rank] = qm_mul(weight[rank], inverse);
}

// Sums over this lane and those before it.
__device__ __forceinline__ uint2 scan_warp(uint2 x) {
#pragma unroll
    for (uint step = 1; step < 32; step *= 2) {
        const uint2 before = make_uint2(__shfl_up_sync(kAllLanes, x.x, step), __shfl_up_sync(kAllLanes, x.y, step));
        if ((threadIdx.x & 31) >= step) x.x += before.x, x.y += before.y;
    }
    return x;
}

// A counting sort by one block of 1024 threads. The order of an expert's slots does not show in a result.
__global__ void __launch_bounds__(1024) group_kernel(uint slots, uint experts, const std::int32_t* ids, ExpertTiles g) {
    after_step_before();
    __shared__ uint2 sums[32];  // slots and tiles of the experts of each warp
    for (uint e = threadIdx.x; e < experts; e += 1024) g.cursor[e] = 0;
    __syncthreads();
    for (uint s = threadIdx.x; s < slots; s += 1024) atomicAdd(&g.cursor[ids[s]], 1u);
    __syncthreads();

    const uint each = (experts + 1023) / 1024;
    const uint e0 = min(experts, threadIdx.x * each), e1 = min(experts, e0 + each);
    uint2 own = make_uint2(0, 0);
    for (uint e = e0; e < e1; e++) own.x += g.cursor[e], own.y += (g.cursor[e] + kTile - 1) / kTile;
    const uint2 within = scan_warp(own);
    if ((threadIdx.x & 31) == 31) sums[threadIdx.x / 32] = within;
    __syncthreads();
    const uint2 warps = scan_warp(sums[threadIdx.x & 31]);  // by every warp for itself
    const uint before = (threadIdx.x / 32 + 31) & 31;
    const uint2 earlier = make_uint2(__shfl_sync(kAllLanes, warps.x, before), __shfl_sync(kAllLanes, warps.y, before));
    const bool first_warp = threadIdx.x < 32;
    if (threadIdx.x == 31) *g.count = warps.y;
    uint first = within.x - own.x + (first_warp ? 0 : earlier.x);
    uint tile = within.y - own.y + (first_warp ? 0 : earlier.y);
    for (uint e = e0; e < e1; e++) {
        const uint count = g.cursor[e];
        g.cursor[e] = first;
        for (uint i = 0; i < count; i += kTile) g.tiles[tile++] = make_uint4(e, first + i, min(kTile, count - i), 0);
        first += count;
    }
    __syncthreads();
    for (uint s = threadIdx.x; s < slots; s += 1024) g.order[atomicAdd(&g.cursor[ids[s]], 1u)] = s;
}

}  // namespace

cudaError_t topk(const TopkParams& p, const float* logits, float* probabilities, std::int32_t* ids, float* weights,
                 const ExpertTiles& tiles, cudaStream_t stream) {
    const cudaError_t error = launch(topk_kernel, p.tokens, 256, stream, p, logits, probabilities, ids, weights);
    if (error != cudaSuccess || !takes_tiles(p.tokens)) return error;
    return launch(group_kernel, 1, 1024, stream, p.tokens * p.used, p.experts, ids, tiles);
}

}  // namespace qwen3moe::cuda
