// F32, F16 and BF16 weights, each product a dot256: for few tokens a block of threads makes one, a thread for each of
// its partial sums; for many it makes a few rows of a few slots.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 8;
constexpr uint kSlots = 8;

template <class Format>
__global__ void __launch_bounds__(256) dot_floats_single_kernel(const __grid_constant__ Product p) {
    after_step_before();
    __shared__ float partial[256];
    const JobTile tile = job_tile(p, blockIdx.x, 1);
    if (!tile.job) return;
    const Job& job = *tile.job;
    const Slots slots = slots_of(p, blockIdx.y);
    const uint columns = job.w.columns;
    const std::size_t row = (std::size_t(slots.expert) * job.rows + tile.first) * columns;
    const uint slot = slots.slot(0);
    const float* x = p.in.values + std::size_t(slot / p.slots_per_row) * columns;
    float sum = 0.0f;
#pragma unroll 8
    for (uint i = threadIdx.x; i < columns; i += 256) sum = qm_mul_add(Format::at(job.w, row + i), x[i], sum);
    sum = qm_settle(tree256(sum, partial));
    if (threadIdx.x == 0) put(p, job, slot, tile.first, sum);
}

// Eight rows of weights for eight of a tile's slots: a thread has one partial sum of each of their products.
template <class Format>
__global__ void __launch_bounds__(256, 2) dot_floats_kernel(const __grid_constant__ Product p) {
    after_step_before();
    __shared__ float partial[kRows][256];
    const JobTile tile = job_tile(p, blockIdx.x, kRows);
    const Job& job = *tile.job;
    const Slots slots = slots_of(p, blockIdx.y);
    const uint columns = job.w.columns;
    const std::size_t first = (std::size_t(slots.expert) * job.rows + tile.first) * columns;
    const uint rows = min(kRows, job.rows - tile.first);
    const uint s0 = kSlots * blockIdx.z;
    if (s0 >= slots.count) return;

    uint x[kSlots];  // where a slot's values begin
#pragma unroll
    for (uint s = 0; s < kSlots; s++) {
        const uint slot = slots.slot(s0 + s < slots.count ? s0 + s : s0);
        x[s] = slot / p.slots_per_row * columns;
    }
    float sums[kRows][kSlots] = {};
#pragma unroll 2
    for (uint i = threadIdx.x; i < columns; i += 256) {
        float w[kRows];
#pragma unroll
        for (uint r = 0; r < kRows; r++) w[r] = Format::at(job.w, first + min(r, rows - 1) * columns + i);
#pragma unroll
        for (uint s = 0; s < kSlots; s++) {
            const float value = p.in.values[x[s] + i];
#pragma unroll
            for (uint r = 0; r < kRows; r++) sums[r][s] = qm_mul_add(w[r], value, sums[r][s]);
        }
    }
#pragma unroll
    for (uint s = 0; s < kSlots; s++) {
        __syncthreads();
#pragma unroll
        for (uint r = 0; r < kRows; r++) partial[r][threadIdx.x] = sums[r][s];
        __syncthreads();
        const uint r = threadIdx.x / 32;  // a warp for each row
        const float sum = qm_settle(tree256(partial[r]));
        if ((threadIdx.x & 31) == 0 && r < rows && s0 + s < slots.count)
            put(p, job, slots.slot(s0 + s), tile.first + r, sum);
    }
}

}  // namespace

cudaError_t dot_floats(const Product& p, cudaStream_t stream) {
    return with_format(
        p.jobs[0].w.type,
        [&](auto format) {
            using Format = decltype(format);
            if (!p.tiled)
                return launch(dot_floats_single_kernel<Format>, dim3(job_tiles(p, 1), p.tiles), 256, stream, p);
            return launch(dot_floats_kernel<Format>, dim3(job_tiles(p, kRows), p.tiles, kTile / kSlots), 256, stream,
                          p);
        },
        [](auto) { return cudaErrorInvalidValue; });
}

}  // namespace qwen3moe::cuda
