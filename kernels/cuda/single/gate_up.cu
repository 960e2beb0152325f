// RMSNorm, the choice of experts, their gate and up projections and SwiGLU. A warp makes an element at a time: a row of
// gate and the same of up.
#include "cuda/launch.cuh"
#include "cuda/single/product.cuh"
#include "cuda/single/soon.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kRows = 2;  // gate, up
constexpr uint kDepth = 4;

struct Step {
    NormInput norm;
    TopkParams topk;
    const float* logits;
    Weight gate, up;
    uint ff;
    Shares down;  // of the same experts, wanted by the next step
    std::int32_t* ids;
    float* weights;
    float* out;  // [used][ff]
};

// Softmax by one warp: key[e] is the probability of e as bits, which order as it does; of NaN, 0.
__device__ __forceinline__ void make_keys(const float* logits, uint n, int* key, float* probability) {
    const uint lane = threadIdx.x & 31;
    float most = logits[0];
    for (uint i = lane; i < n; i += 32) most = qm_max(logits[i], most);
#pragma unroll
    for (int half = 16; half > 0; half /= 2) most = qm_max(__shfl_xor_sync(kAllLanes, most, half), most);
    float partial[8] = {};
    for (uint first = 0; first < n; first += 256)
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            const uint i = first + lane + 32 * j;
            if (first + 32 * j >= n) break;
            if (i < n) partial[j] = qm_add(partial[j], probability[i] = qm_probability(logits[i], most));
        }
    const float inverse = qm_recip(tree256(partial));
    for (uint i = lane; i < n; i += 32) {
        probability[i] = qm_mul(probability[i], inverse);
        key[i] = static_cast<int>(qm_rank_key(probability[i]));
    }
}

// Experts by falling probability, lower index first: an expert's rank is the number of those before it. Four threads
// count for each, every fourth key.
__device__ __forceinline__ void choose(const TopkParams& p, const int* key, const float* probability, uint* ids,
                                       float* chosen) {
    const uint part = threadIdx.x & 3;
    for (uint first = 0; first < p.experts; first += kThreads / 4) {
        const uint e = first + threadIdx.x / 4;
        const int own = e < p.experts ? key[e] : 0;
        uint rank = 0;
#pragma unroll 8
        for (uint other = part; other < p.experts; other += 4) rank += key[other] > (other < e ? own - 1 : own) ? 1 : 0;
        rank += __shfl_xor_sync(kAllLanes, rank, 1);
        rank += __shfl_xor_sync(kAllLanes, rank, 2);
        if (e < p.experts && rank < p.used && part == 0) {
            ids[rank] = e;
            chosen[rank] = probability[e];
        }
    }
    __syncthreads();
}

// As the first block of threads leaves them to the next step.
__device__ __forceinline__ void keep_choice(const Step& s, const uint* ids, const float* chosen) {
    if (threadIdx.x >= s.topk.used) return;
    float sum = 0.0f;
    for (uint r = 0; r < s.topk.used; r++) sum = qm_add(sum, chosen[r]);
    const float weight = chosen[threadIdx.x];
    s.ids[threadIdx.x] = static_cast<std::int32_t>(ids[threadIdx.x]);
    s.weights[threadIdx.x] = s.topk.renormalise ? qm_mul(weight, qm_recip(sum)) : weight;
}

template <class Format>
__global__ void __launch_bounds__(kThreads, 1) gate_up_kernel(const __grid_constant__ Step s) {
    extern __shared__ char shared[];
    __shared__ float partial[256];
    __shared__ uint ids[kMostUsed];
    __shared__ float chosen[kMostUsed];
    float* row = reinterpret_cast<float*>(shared);
    float* probability = row + s.norm.width;
    int* key = reinterpret_cast<int*>(probability + s.topk.experts);
    const uint blocks = (s.norm.width + 255) / 256;
    const Input in(shared + (s.norm.width + (s.topk.experts + 1) / 2 * 4) * sizeof(float), blocks);
    const uint lane = threadIdx.x & 31, k = lane & 7;

    after_step_before();
    if (threadIdx.x >= kThreads - 32) make_keys(s.logits, s.topk.experts, key, probability);
    s.norm.load(row, partial);
    __syncthreads();
    choose(s.topk, key, probability, ids, chosen);

    const auto block_of = [&](uint item) { return min(4 * item + lane / 8, blocks - 1); };
    std::size_t matrix_row = 0;
    const auto load = [&](Cursor at, typename Format::Raw(&raw)[kRows]) {
        if (at.item == 0) matrix_row = std::size_t(ids[at.tile / s.ff]) * s.ff + at.tile % s.ff;
        raw[0] = Format::fetch(s.gate, matrix_row, block_of(at.item), k);
        raw[1] = Format::fetch(s.up, matrix_row, block_of(at.item), k);
    };
    const uint first = blockIdx.x * kWarps + threadIdx.x / 32;
    const uint end = s.topk.used * s.ff, stride = gridDim.x * kWarps, items = (blocks + 3) / 4;
    Ahead<Format, kRows, kDepth> weights;
    weights.start(first, end, stride, items, load);
    if (threadIdx.x < 4 * s.topk.used) fetch_soon(s.down, threadIdx.x % 4, ids[threadIdx.x / 4]);
    if (blockIdx.x == 0) keep_choice(s, ids, chosen);

    s.norm.quantise<Format>(row, s.norm.factor(partial), in);
    float sum = 0.0f;
    weights.run(first, end, stride, items, load, [&](Cursor at, const typename Format::Raw(&raw)[kRows]) {
        const uint block = block_of(at.item);
        const float term =
            block_term<Format, kRows>(raw, in.runs(block, k), in.scale[block], k, 8 * block + k < s.norm.width / 32);
        sum = add_terms(at.item == 0 ? 0.0f : sum, term, 4 * at.item, blocks);
        if (at.item + 1 < items) return;
        const float up = __shfl_xor_sync(kAllLanes, sum, 4);
        if (lane == 0) s.out[at.tile] = qm_swiglu(sum, up);
    });
}

}  // namespace

cudaError_t gate_up_single(const NormParams& n, const TopkParams& topk, const GateUpParams& p, const float* residual,
                           const float* norm, const float* logits, const Weight& gate, const Weight& up,
                           const Weight& down, std::int32_t* ids, float* weights, float* out, cudaStream_t stream) {
    const uint grid = grid_for(p.used * p.ff, 1);
    const Step step{{residual, norm, n.width, n.inverse_width, n.eps},
                    topk,
                    logits,
                    gate,
                    up,
                    p.ff,
                    shares_of(down, p.width, grid),
                    ids,
                    weights,
                    out};
    const std::size_t shared =
        (n.width + (p.experts + 1) / 2 * 4) * sizeof(float) + Input::bytes((n.width + 255) / 256);
    return with_format(
        gate.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) { return launch_sharing(gate_up_kernel<decltype(f)>, grid, kThreads, shared, stream, step); });
}

}  // namespace qwen3moe::cuda
