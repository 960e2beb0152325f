// F32, F16 and BF16 weights: a warp makes one row, four slots at a time, each a dot256.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kSlots = 4;

// Partial sum i takes elements i, i + 256, ...; a lane holds those of index lane + 32 j.
template <class Format>
__global__ void __launch_bounds__(32 * kWarps) dot_floats_kernel(const __grid_constant__ Product p) {
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
    const dim3 grid((job_tiles(p, 1) + kWarps - 1) / kWarps, p.tiles);
    return with_format(
        p.jobs[0].w.type,
        [&](auto format) {
            dot_floats_kernel<decltype(format)><<<grid, 32 * kWarps, 0, stream>>>(p);
            return cudaGetLastError();
        },
        [](auto) { return cudaErrorInvalidValue; });
}

}  // namespace qwen3moe::cuda
