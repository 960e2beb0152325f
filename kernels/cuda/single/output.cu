// The output projection, added to the residual.
#include "cuda/single/residual.cuh"
#include "cuda/single/soon.cuh"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

struct Step {
    Matrix matrix;
    Stages stages;
    const float* attention;
    float* residual;
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) output_kernel(const __grid_constant__ Step s) {
    if (threadIdx.x < 32) fetch_soon(s);
    extern __shared__ __align__(128) char shared[];
    __shared__ Arrival arrived[kMostParts];
    __shared__ uint done[kMostStages];
    const Input in(shared + s.stages.shared(), s.stages.blocks);
    const Range range{blockIdx.x, gridDim.x, tiles_in(s.matrix.rows)};
    Tiles<Format, Plain> tiles(s.stages, range, shared, arrived, done, Plain{s.matrix});
    tiles.start();
    const Residual residual(s.residual, s.matrix.rows);
    wait_for_step_before();
    quantise_input<Format>(s.attention, 1, s.matrix.w.columns, in, [] {});
    __syncthreads();
    let_next_begin();  // its weights would be in the way of this step's input
    tiles.run(
        in, [](uint, uint block) { return block; }, [] {},
        [&](uint tile, auto sum) { residual.add(tile, sum(0, residual.r)); });
}

}  // namespace

cudaError_t output_single(const OutputParams& p, const Weight& w, const float* attention, float* residual,
                          cudaStream_t stream) {
    const Matrix matrix = matrix_of(w, p.width);
    const uint tiles = tiles_in(p.width), grid = std::min(tiles, processors());
    const uint fixed = Input::bytes((p.columns + 255) / 256);
    const Step step{matrix, stages_of(matrix, 1, fixed, (tiles + grid - 1) / grid), attention, residual};
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_tiles(output_kernel<decltype(f)>, grid, step.stages.shared() + fixed, more_than_half(),
                                stream, step);
        });
}

}  // namespace qwen3moe::cuda
