// Slot by slot: a warp makes four rows.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"
#include "cuda/rows.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kRows = 4;
constexpr uint kDepth = 2;

template <class Format>
__device__ __forceinline__ Runs runs_of(const Activations& in, std::size_t block, uint k) {
    Runs x;
#pragma unroll
    for (uint i = 0; i < 2; i++) {
        const std::size_t run = block * 16 + Format::run(k, i);
        x.high[i] = reinterpret_cast<const int4*>(in.high)[run];
        x.low[i] = reinterpret_cast<const int4*>(in.low)[run];
        if constexpr (Format::kMin) x.sums[i] = in.sums[run];
    }
    return x;
}

template <class Format>
__global__ void __launch_bounds__(32 * kWarps) dot_singles_kernel(const __grid_constant__ Product p) {
    const uint lane = threadIdx.x & 31;
    const uint k = lane & 7;
    const JobTile tile = job_tile(p, blockIdx.x * kWarps + threadIdx.x / 32, kRows);
    if (!tile.job) return;
    const Job& job = *tile.job;
    const uint blocks = p.in.blocks();
    const uint last = job.rows - 1;

    // Lanes past the last block do work that is not used.
    const auto block_of = [&](uint item) { return min(4 * item + lane / 8, blocks - 1); };
    std::size_t matrix = 0;
    const auto load = [&](Cursor at, typename Format::Raw(&raw)[kRows]) {
        unrolled<kRows>(
            [&](auto r) { raw[r] = Format::fetch(job.w, matrix + min(tile.first + r, last), block_of(at.item), k); });
    };
    const uint items = (blocks + 3) / 4;
    Ahead<Format, kRows, kDepth> weights;

    // Weights are on their way before the step before has ended, where its result does not choose them.
    const bool chosen = p.experts.ids != nullptr;
    if (!chosen) weights.start(0, 1, 1, items, load);
    after_step_before();
    const Slots slots = slots_of(p, blockIdx.y);
    matrix = std::size_t(slots.expert) * job.rows;
    if (chosen) weights.start(0, 1, 1, items, load);
    const std::size_t input = std::size_t(slots.first / p.slots_per_row) * blocks;

    float sum = 0.0f;
    weights.run(0, 1, 1, items, load, [&](Cursor at, const typename Format::Raw(&raw)[kRows]) {
        const uint block = block_of(at.item);
        const Runs x = runs_of<Format>(p.in, input + block, k);
        const float dx = p.in.scale[input + block];
        const float term = block_term<Format, kRows>(raw, x, dx, k, 8 * block + k < job.w.columns / 32);
        sum = add_terms(sum, term, 4 * at.item, blocks);
    });
    const uint row = tile.first + own_row<kRows>(k);
    if (lane < 8 && (k & 1) == 0 && row < job.rows) put(p, job, slots.first, row, sum);
}

}  // namespace

cudaError_t dot_singles(const Product& p, cudaStream_t stream) {
    const dim3 grid((job_tiles(p, kRows) + kWarps - 1) / kWarps, p.tiles);
    return with_format(
        p.jobs[0].w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto format) { return launch(dot_singles_kernel<decltype(format)>, grid, 32 * kWarps, stream, p); });
}

}  // namespace qwen3moe::cuda
