// RMSNorm and the projections of Q, K and V: first blocks of threads for Q, then for K, then for V.
#include "cuda/single/soon.cuh"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

struct Projection {
    Matrix matrix;
    Stages stages;
    float* out;
    uint end;  // of its blocks of threads
};

struct Projections {
    NormInput norm;
    Projection of[3];
};

template <class Format>
__device__ __forceinline__ void project(const NormInput& input, const Projection& to, uint first_block) {
    extern __shared__ __align__(128) char shared[];
    __shared__ Arrival arrived[kMostParts];
    __shared__ uint done[kMostStages];
    __shared__ float partial[256];
    float* row = reinterpret_cast<float*>(shared + to.stages.shared());
    const Input in(shared + to.stages.shared() + input.width * sizeof(float), (input.width + 255) / 256);
    const Range range{blockIdx.x - first_block, to.end - first_block, tiles_in(to.matrix.rows)};
    Tiles<Format, Plain> tiles(to.stages, range, shared, arrived, done, Plain{to.matrix});
    tiles.start();
    float scale[8];
    input.load_scale(scale);
    wait_for_step_before();
    let_next_begin();  // attention's keys and values would be in the way of the step before
    if (threadIdx.x < kMakers) input.make<Format>(row, partial, scale, in);
    __syncthreads();
    tiles.run(
        in, [](uint, uint block) { return block; }, [] {},
        [&](uint tile, auto sum) {
            const uint r = threadIdx.x & 31, at = kTileRows * tile + r;
            if (r < kTileRows && at < to.matrix.rows) to.out[at] = sum(0, r);
        });
}

template <class QK, class V>
__global__ void __launch_bounds__(kThreads, 2) qkv_kernel(const __grid_constant__ Projections p) {
    if (threadIdx.x < 32) fetch_soon(p);
    const uint j = blockIdx.x < p.of[0].end ? 0 : (blockIdx.x < p.of[1].end ? 1 : 2);
    const uint first = j == 0 ? 0 : p.of[j - 1].end;
    if (std::is_same_v<QK, V> || j < 2)
        project<QK>(p.norm, p.of[j], first);
    else
        project<V>(p.norm, p.of[j], first);
}

template <class QK, class V>
cudaError_t start(Projections p, cudaStream_t stream) {
    // No more blocks of threads than it takes for the fewest tiles each: attention begins where there is none.
    uint most = 0, grid = 0, shared = 0;
    do {
        most++, grid = 0;
        for (Projection& to : p.of) to.end = grid += (tiles_in(to.matrix.rows) + most - 1) / most;
    } while (grid > std::max(3u, processors()));
    const uint fixed = p.norm.width * sizeof(float) + Input::bytes((p.norm.width + 255) / 256);
    for (Projection& to : p.of) {
        to.stages = stages_of(to.matrix, 1, fixed, most);
        shared = std::max(shared, to.stages.shared() + fixed);
    }
    return launch_tiles(qkv_kernel<QK, V>, grid, shared, more_than_half(), stream, p);
}

}  // namespace

cudaError_t qkv_single(const NormParams& n, const QkvParams& p, const float* residual, const float* norm,
                       const Weight& q, const Weight& k, const Weight& v, float* q_out, float* k_out, float* v_out,
                       cudaStream_t stream) {
    const Projections all{{residual, norm, n.width, n.inverse_width, n.eps},
                          {{matrix_of(q, p.q_rows), {}, q_out, 0},
                           {matrix_of(k, p.kv_rows), {}, k_out, 0},
                           {matrix_of(v, p.kv_rows), {}, v_out, 0}}};
    return with_formats(
        q.type, v.type, [&](auto f) { return start<decltype(f), decltype(f)>(all, stream); },
        [&](auto f, auto g) { return start<decltype(f), decltype(g)>(all, stream); });
}

}  // namespace qwen3moe::cuda
