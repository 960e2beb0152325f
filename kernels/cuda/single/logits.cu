// The last RMSNorm and the output head; and whether what they read and write is finite.
#include "cuda/single/soon.cuh"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

struct Step {
    NormInput norm;
    Matrix matrix;
    Stages stages;
    uint* flags;
    float* out;
};

__device__ __forceinline__ bool infinite(float x) { return qm_abs_bits(x) >= QM_INFINITY_BITS; }

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) logits_kernel(const __grid_constant__ Step s) {
    if (threadIdx.x < 32) fetch_soon(s);
    extern __shared__ __align__(128) char shared[];
    __shared__ Arrival arrived[kMostParts];
    __shared__ uint done[kMostStages];
    __shared__ float partial[256];
    float* row = reinterpret_cast<float*>(shared + s.stages.shared());
    const Input in(shared + s.stages.shared() + s.norm.width * sizeof(float), s.stages.blocks);
    const Range range{blockIdx.x, gridDim.x, tiles_in(s.matrix.rows)};
    Tiles<Format, Plain> tiles(s.stages, range, shared, arrived, done, Plain{s.matrix});
    tiles.start();
    float scale[8];
    s.norm.load_scale(scale);
    wait_for_step_before();
    if (threadIdx.x < kMakers) s.norm.make<Format>(row, partial, scale, in);
    __syncthreads();
    let_next_begin();
    if (blockIdx.x == 0)
        for (uint i = threadIdx.x; i < s.norm.width; i += kThreads)
            if (infinite(row[i])) s.flags[0] = 1;
    tiles.run(
        in, [](uint, uint block) { return block; }, [] {},
        [&](uint tile, auto sum) {
            const uint r = threadIdx.x & 31, at = kTileRows * tile + r;
            if (r >= kTileRows || at >= s.matrix.rows) return;
            const float value = sum(0, r);
            s.out[at] = value;
            if (infinite(value)) s.flags[1] = 1;
        });
}

}  // namespace

cudaError_t logits_single(const NormParams& n, const LogitsParams& p, const float* residual, const float* norm,
                          const Weight& w, uint* flags, float* out, cudaStream_t stream) {
    const Matrix matrix = matrix_of(w, p.vocab);
    const uint tiles = tiles_in(p.vocab), grid = std::min(tiles, processors());
    const uint fixed = n.width * sizeof(float) + Input::bytes((n.width + 255) / 256);
    const Step step{{residual, norm, n.width, n.inverse_width, n.eps},
                    matrix,
                    stages_of(matrix, 1, fixed, (tiles + grid - 1) / grid),
                    flags,
                    out};
    return with_format(
        w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_tiles(logits_kernel<decltype(f)>, grid, step.stages.shared() + fixed, more_than_half(),
                                stream, step);
        });
}

}  // namespace qwen3moe::cuda
