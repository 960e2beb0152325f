// RMSNorm and the projections of Q, K and V: first blocks of threads for Q, then for K, then for V.
#include "cuda/launch.cuh"
#include "cuda/single/product.cuh"
#include "cuda/single/steps.h"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 1;
constexpr uint kDepth = 4;

struct Projection {
    Weight w;
    uint rows;
    float* out;
    uint end;  // of its blocks of threads
};

struct Projections {
    NormInput norm;
    Projection of[3];
};

template <class Format>
__device__ __forceinline__ void project(const NormInput& norm, const Projection& to, uint first_block) {
    extern __shared__ char shared[];
    __shared__ float partial[256];
    float* row = reinterpret_cast<float*>(shared);
    const Input in(shared + norm.width * sizeof(float), (norm.width + 255) / 256);
    product<Format, kRows, kDepth>(
        to.w, to.rows, first_block, to.end, in,
        [&] {
            after_step_before();
            norm.load(row, partial);
            __syncthreads();
            norm.quantise<Format>(row, norm.factor(partial), in);
        },
        [&](uint at, float value) { to.out[at] = value; });
}

template <class QK, class V>
__global__ void __launch_bounds__(kThreads, 1) qkv_kernel(const __grid_constant__ Projections p) {
    const uint j = blockIdx.x < p.of[0].end ? 0 : (blockIdx.x < p.of[1].end ? 1 : 2);
    if (j == 2)
        project<V>(p.norm, p.of[2], p.of[1].end);
    else
        project<QK>(p.norm, p.of[j], j == 0 ? 0 : p.of[0].end);
}

template <class QK, class V>
cudaError_t start(Projections p, cudaStream_t stream) {
    uint tiles = 0, before = 0;
    for (const Projection& to : p.of) tiles += (to.rows + kRows - 1) / kRows;
    const uint grid = max(3u, grid_for(tiles, 1));
    for (uint j = 0; j < 3; j++) {  // in proportion, one at least
        before += (p.of[j].rows + kRows - 1) / kRows;
        p.of[j].end = min(max(grid * before / tiles, j + 1), grid - 2 + j);
    }
    const std::size_t shared = p.norm.width * sizeof(float) + Input::bytes((p.norm.width + 255) / 256);
    return launch_sharing(qkv_kernel<QK, V>, grid, kThreads, shared, stream, p);
}

}  // namespace

cudaError_t qkv_single(const NormParams& n, const QkvParams& p, const float* residual, const float* norm,
                       const Weight& q, const Weight& k, const Weight& v, float* q_out, float* k_out, float* v_out,
                       cudaStream_t stream) {
    const Projections all{{residual, norm, n.width, n.inverse_width, n.eps},
                          {{q, p.q_rows, q_out, 0}, {k, p.kv_rows, k_out, 0}, {v, p.kv_rows, v_out, 0}}};
    return with_formats(
        q.type, v.type, [&](auto f) { return start<decltype(f), decltype(f)>(all, stream); },
        [&](auto f, auto g) { return start<decltype(f), decltype(g)>(all, stream); });
}

}  // namespace qwen3moe::cuda
