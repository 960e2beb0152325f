// The down projections of the chosen experts, weighted, summed in rank order and added to the residual. A warp makes
// an element at a time; each of its groups of eight lanes takes every fourth expert.
#include "cuda/launch.cuh"
#include "cuda/single/product.cuh"
#include "cuda/single/soon.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 1;
constexpr uint kDepth = 6;

struct Step {
    Weight w;
    uint used, ff, width;
    uint over_blocks;     // item * over_blocks >> 16 is item / blocks: kernels/cuda/single/fits.cu bounds both
    const float* swiglu;  // [used][ff]
    const std::int32_t* ids;
    const float* weights;
    Shares soon[3];
    uint soon_count;
    float* residual;
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 1) down_kernel(const __grid_constant__ Step s) {
    extern __shared__ char shared[];
    __shared__ float weight[kMostUsed];
    __shared__ uint ids[kMostUsed];
    const uint blocks = (s.ff + 255) / 256;
    const Input in(shared, blocks * s.used);
    const uint lane = threadIdx.x & 31, k = lane & 7, group = lane / 8;

    after_step_before();
    if (threadIdx.x < s.used) {
        ids[threadIdx.x] = static_cast<uint>(s.ids[threadIdx.x]);
        weight[threadIdx.x] = s.weights[threadIdx.x];
    }
    __syncthreads();
    const auto round_of = [&](uint item) { return item * s.over_blocks >> 16; };
    const auto rank_of = [&](uint round) { return min(4 * round + group, s.used - 1); };
    const auto load = [&](Cursor at, typename Format::Raw(&raw)[kRows]) {
        const uint round = round_of(at.item);
        const std::size_t matrix = std::size_t(ids[rank_of(round)]) * s.width;
        unrolled<kRows>([&](auto r) {
            raw[r] = Format::fetch(s.w, matrix + min(kRows * at.tile + r, s.width - 1), at.item - round * blocks, k);
        });
    };
    const uint first = blockIdx.x * kWarps + threadIdx.x / 32;
    const uint end = (s.width + kRows - 1) / kRows, stride = gridDim.x * kWarps;
    const uint items = (s.used + 3) / 4 * blocks;
    Ahead<Format, kRows, kDepth> weights;
    weights.start(first, end, stride, items, load);
    if (threadIdx.x < 4 * s.soon_count) fetch_soon(s.soon[threadIdx.x / 4], threadIdx.x % 4, 0);
    quantise_input<Format>(s.swiglu, s.used, s.ff, in);

    float sum = 0.0f, total = 0.0f;
    weights.run(first, end, stride, items, load, [&](Cursor at, const typename Format::Raw(&raw)[kRows]) {
        const uint round = round_of(at.item);
        const uint part = at.item - round * blocks;
        const uint block = rank_of(round) * blocks + part;
        const float term =
            block_term<Format, kRows>(raw, in.runs(block, k), in.scale[block], k, 8 * part + k < s.ff / 32);
        sum = qm_add(part == 0 ? 0.0f : sum, term);
        if (part + 1 < blocks) return;
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint rank = 4 * round + i;
            const float out = __shfl_sync(kAllLanes, sum, 8 * i + k);
            if (rank < s.used) total = rank == 0 ? qm_mul(weight[0], out) : qm_mul_add(weight[rank], out, total);
        }
        const uint row = kRows * at.tile + own_row<kRows>(k);
        if (at.item + 1 == items && lane < 8 && k % (8 / kRows) == 0 && row < s.width)
            s.residual[row] = qm_add(s.residual[row], total);
    });
}

}  // namespace

cudaError_t down_single(const DownParams& p, const Weight& w, const float* swiglu, const std::int32_t* ids,
                        const float* weights, const Soon& soon, float* residual, cudaStream_t stream) {
    const uint grid = grid_for((p.width + kRows - 1) / kRows, 1);
    const uint blocks = (p.ff + 255) / 256;
    Step step{w, p.used, p.ff, p.width, 65536 / blocks + 1, swiglu, ids, weights, {}, soon.count, residual};
    for (uint i = 0; i < soon.count; i++) step.soon[i] = shares_of(soon.of[i], soon.rows[i], grid);
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_sharing(down_kernel<decltype(f)>, grid, kThreads, Input::bytes(blocks * p.used), stream,
                                  step);
        });
}

}  // namespace qwen3moe::cuda
