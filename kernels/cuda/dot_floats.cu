// F32, F16 and BF16 weights, each product a dot256: for few tokens a block of threads makes one, a thread for each of
// its partial sums; for many a warp makes one row, four slots at a time.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kSlots = 4;

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

// Partial sum i takes elements i, i + 256, ...; a lane holds those of index lane + 32 j.
template <class Format>
__global__ void __launch_bounds__(32 * kWarps) dot_floats_kernel(const __grid_constant__ Product p) {
    after_step_before();
    const uint lane = threadIdx.x & 31;
    const JobTile tile = job_tile(p, blockIdx.x * kWarps + threadIdx.x / 32, 1);
    if (!tile.job) return;
    const Job& job = *tile.job;
    const Slots slots = slots_of(p, blockIdx.y);
    const uint columns = job.w.columns;
    const std::size_t row = (std::size_t(slots.expert) * job.rows + tile.first) * columns;

    for (uint s0 = 0; s0 < slots.count; s0 += kSlots) {
        const float* x[kSlots];
#pragma unroll
        for (uint s = 0; s < kSlots; s++) {
            const uint slot = slots.slot(s0 + s < slots.count ? s0 + s : s0);
            x[s] = p.in.values + std::size_t(slot / p.slots_per_row) * columns;
        }
        float sums[kSlots][8] = {};
        for (uint first = 0; first < columns; first += 256) {
            float w[8];
#pragma unroll
            for (uint j = 0; j < 8; j++) {
                const uint i = first + lane + 32 * j;
                w[j] = i < columns ? Format::at(job.w, row + i) : 0.0f;
            }
#pragma unroll
            for (uint s = 0; s < kSlots; s++)
#pragma unroll
                for (uint j = 0; j < 8; j++) {
                    const uint i = first + lane + 32 * j;
                    if (i < columns && s0 + s < slots.count) sums[s][j] = qm_mul_add(w[j], x[s][i], sums[s][j]);
                }
        }
#pragma unroll
        for (uint s = 0; s < kSlots; s++) {
            const float sum = qm_settle(tree256(sums[s]));
            if (lane == 0 && s0 + s < slots.count) put(p, job, slots.slot(s0 + s), tile.first, sum);
        }
    }
}

}  // namespace

cudaError_t dot_floats(const Product& p, cudaStream_t stream) {
    const uint rows = job_tiles(p, 1);
    return with_format(
        p.jobs[0].w.type,
        [&](auto format) {
            using Format = decltype(format);
            if (!p.tiled) return launch(dot_floats_single_kernel<Format>, dim3(rows, p.tiles), 256, stream, p);
            const dim3 grid((rows + kWarps - 1) / kWarps, p.tiles);
            return launch(dot_floats_kernel<Format>, grid, 32 * kWarps, stream, p);
        },
        [](auto) { return cudaErrorInvalidValue; });
}

}  // namespace qwen3moe::cuda
