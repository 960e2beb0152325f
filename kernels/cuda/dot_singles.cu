// Slot by slot: a warp makes four rows. Groups of eight lanes hold a block of 256 weights of each, a lane a part of it;
// integer sums meet in any order, the blocks' floats are then added in theirs.
#include "cuda/dot.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kRows = 4;

// Sums N values, each over the eight lanes of a group; lane k is left with the sum of value k * N / 8.
template <int N, class T, class Add>
__device__ __forceinline__ T spread_sum(T (&v)[N], uint k, Add add) {
    int n = N;
#pragma unroll
    for (uint step = 4; step > 0; step /= 2) {
        const bool upper = (k & step) != 0;
        if (n > 1) {
            n /= 2;
#pragma unroll
            for (int i = 0; i < n; i++) {
                const T sent = upper ? v[i] : v[i + n];
                const T kept = upper ? v[i + n] : v[i];
                v[i] = add(kept, __shfl_xor_sync(kAllLanes, sent, step));
            }
        } else {
            v[0] = add(v[0], __shfl_xor_sync(kAllLanes, v[0], step));
        }
    }
    return v[0];
}

// The activations of one part: two runs of sixteen.
struct Runs {
    int4 high[2];
    int4 low[2];
    int sums[2];
};

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

// What this lane's block adds to row r0 + k / 2.
template <class Format>
__device__ __forceinline__ float super_term(const Part (&parts)[kRows], const Runs& x, float dx, Factors f, uint k) {
    const auto add = [](int a, int b) { return a + b; };
    int digits[2 * kRows], minima[kRows];
#pragma unroll
    for (uint r = 0; r < kRows; r++) {
        const Part& p = parts[r];
        digits[2 * r] = p.scale[0] * dot16(p.q[0], x.high[0]) + p.scale[1] * dot16(p.q[1], x.high[1]);
        digits[2 * r + 1] = p.scale[0] * dot16(p.q[0], x.low[0]) + p.scale[1] * dot16(p.q[1], x.low[1]);
        if constexpr (Format::kMin) minima[r] = p.minimum[0] * x.sums[0] + p.minimum[1] * x.sums[1];
    }
    const int own = spread_sum(digits, k, add);
    const int other = __shfl_xor_sync(kAllLanes, own, 1);
    const int high = (k & 1) ? other : own;
    const int low = (k & 1) ? own : other;
    if constexpr (Format::kMin) return qm_term_min(f.d, f.dmin, dx, high, low, spread_sum(minima, k, add));
    return qm_term(f.d, dx, high, low);
}

template <class Format>
__device__ __forceinline__ float small_term(const Part (&parts)[kRows], const Runs& x, float dx, bool inside, uint k) {
    float groups[kRows];
#pragma unroll
    for (uint r = 0; r < kRows; r++) {
        const Part& p = parts[r];
        const int high = dot16(p.q[0], x.high[0]) + dot16(p.q[1], x.high[1]);
        const int low = dot16(p.q[0], x.low[0]) + dot16(p.q[1], x.low[1]);
        if constexpr (Format::kMin)
            groups[r] = inside ? qm_group_min(p.d, p.dmin, high, low, x.sums[0] + x.sums[1]) : 0.0f;
        else
            groups[r] = inside ? qm_group(p.d, high, low) : 0.0f;
    }
    // With steps of 4, 2 and 1 this is qm_sum8 of the eight lanes' groups.
    return qm_term32(dx, spread_sum(groups, k, [](float a, float b) { return qm_add(a, b); }));
}

template <class Format>
__global__ void __launch_bounds__(32 * kWarps) dot_singles_kernel(const __grid_constant__ Product p) {
    const uint lane = threadIdx.x & 31;
    const uint k = lane & 7;
    const JobTile tile = job_tile(p, blockIdx.x * kWarps + threadIdx.x / 32, kRows);
    if (!tile.job) return;
    const Job& job = *tile.job;
    const Slots slots = slots_of(p, blockIdx.y);
    const uint blocks = p.in.blocks();
    const std::size_t input = std::size_t(slots.first / p.slots_per_row) * blocks;
    const std::size_t matrix = std::size_t(slots.expert) * job.rows;
    const uint last = job.rows - 1;
    const uint own_row = tile.first + k / 2 < last ? tile.first + k / 2 : last;

    float sum = 0.0f;
    for (uint first = 0; first < blocks; first += 4) {
        const uint wanted = first + lane / 8;
        const uint block = wanted < blocks ? wanted : blocks - 1;  // lanes past the end do work that is not used
        const Runs x = runs_of<Format>(p.in, input + block, k);
        const float dx = p.in.scale[input + block];
        Part parts[kRows];
#pragma unroll
        for (uint r = 0; r < kRows; r++) {
            const uint row = tile.first + r < last ? tile.first + r : last;
            Format::part(job.w, matrix + row, block, k, parts[r]);
        }
        float term;
        if constexpr (Format::kSuper)
            term = super_term<Format>(parts, x, dx, Format::factors(job.w, matrix + own_row, block), k);
        else
            term = small_term<Format>(parts, x, dx, 8 * block + k < job.w.columns / 32, k);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float next = __shfl_sync(kAllLanes, term, 8 * i + k);
            if (first + i < blocks) sum = qm_add(sum, next);
        }
    }
    const uint row = tile.first + k / 2;
    if (lane < 8 && (k & 1) == 0 && row < job.rows) put(p, job, slots.first, row, sum);
}

}  // namespace

cudaError_t dot_singles(const Product& p, cudaStream_t stream) {
    const dim3 grid((job_tiles(p, kRows) + kWarps - 1) / kWarps, p.tiles);
    return with_format(
        p.jobs[0].w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto format) {
            dot_singles_kernel<decltype(format)><<<grid, 32 * kWarps, 0, stream>>>(p);
            return cudaGetLastError();
        });
}

}  // namespace qwen3moe::cuda
