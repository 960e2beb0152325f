// The down projections of the chosen experts, weighted, summed in rank order and added to the residual. A tile is the
// same sixteen rows of all of them.
#include "cuda/single/residual.cuh"
#include "cuda/single/soon.cuh"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

struct Step {
    Matrix matrix;
    Stages stages;
    const float* swiglu;  // [used][ff]
    const std::int32_t* ids;
    const float* weights;
    Await gate_up_read;
    float* residual;
};

struct Chosen {
    const Matrix& of;
    const std::int32_t* ids;

    __device__ __forceinline__ const Matrix& matrix(uint) const { return of; }
    __device__ __forceinline__ uint within(uint tile) const { return kTileRows * tile; }
    __device__ __forceinline__ std::size_t row(uint tile, uint part) const {
        return static_cast<std::size_t>(__ldcg(ids + part)) * of.rows + within(tile);
    }
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) down_kernel(const __grid_constant__ Step s) {
    if (threadIdx.x < 32) fetch_soon(s);
    extern __shared__ __align__(128) char shared[];
    __shared__ Arrival arrived[kMostParts];
    __shared__ uint done[kMostStages];
    __shared__ float weight[kMostUsed];
    const uint used = s.stages.parts, blocks = s.stages.blocks;
    const Input in(shared + s.stages.shared(), blocks * used);
    const Range range{blockIdx.x, gridDim.x, tiles_in(s.matrix.rows)};
    Tiles<Format, Chosen> tiles(s.stages, range, shared, arrived, done, Chosen{s.matrix, s.ids});
    const Residual residual(s.residual, s.matrix.rows);
    // The choice was made early in the step before, which has no use for memory once its own weights have come.
    if (threadIdx.x >= kThreads - 32 * kFetchers) {
        wait_for_all(s.gate_up_read.count, s.gate_up_read.all);
        tiles.start();
    }
    wait_for_step_before();
    quantise_input<Format>(s.swiglu, used, s.matrix.w.columns, in, [&] {
        if (threadIdx.x < used) weight[threadIdx.x] = s.weights[threadIdx.x];
    });
    __syncthreads();
    let_next_begin();  // its weights would be in the way of this step's input
    tiles.run(
        in, [&](uint part, uint block) { return part * blocks + block; }, [] {},
        [&](uint tile, auto sum) {
            const uint r = residual.r, upper = (threadIdx.x & 31) / kTileRows;
            float total = 0.0f;
            for (uint first = 0; first < used; first += 2) {
                const float own = sum(min(first + upper, used - 1), r);
#pragma unroll
                for (uint i = 0; i < 2; i++) {
                    const uint rank = first + i;
                    const float out = __shfl_sync(kAllLanes, own, kTileRows * i + r);
                    if (rank < used) total = rank == 0 ? qm_mul(weight[0], out) : qm_mul_add(weight[rank], out, total);
                }
            }
            residual.add(tile, total);
        });
}

}  // namespace

cudaError_t down_single(const DownParams& p, const Weight& w, const float* swiglu, const std::int32_t* ids,
                        const float* weights, const Await& gate_up_read, float* residual, cudaStream_t stream) {
    const Matrix matrix = matrix_of(w, p.width);
    const uint tiles = tiles_in(p.width), grid = std::min(tiles, processors());
    const uint fixed = Input::bytes((p.ff + 255) / 256 * p.used);
    const Step step{
        matrix,  stages_of(matrix, p.used, fixed, (tiles + grid - 1) / grid), swiglu, ids, weights, gate_up_read,
        residual};
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_tiles(down_kernel<decltype(f)>, grid, step.stages.shared() + fixed, less_than_half(), stream,
                                step);
        });
}

}  // namespace qwen3moe::cuda
