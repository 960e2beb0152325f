// RMSNorm, the choice of experts, their gate and up projections and SwiGLU. A tile is the same sixteen rows of an
// expert's gate and up.
#include "cuda/single/soon.cuh"
#include "cuda/single/tiles.cuh"

namespace qwen3moe::cuda {
namespace {

struct Step {
    NormInput norm;
    TopkParams topk;
    const float* logits;
    Matrix gate_up[2];
    Stages stages;
    std::int32_t* ids;
    float* weights;
    float* out;  // [used][ff]
    uint* read;  // blocks of threads that have their weights
};

// Experts are taken sixteen at a time: what is missing has a key below all.
__host__ __device__ constexpr uint sixteens(uint experts) { return (experts + 15) / 16 * 16; }

// Softmax by one warp: key[e] is the probability of e as bits, which order as it does; of NaN, 0.
__device__ __forceinline__ void make_keys(const float* logits, uint n, int* key, float* probability) {
    const uint lane = threadIdx.x & 31;
    float most = logits[0];
#pragma unroll 1
    for (uint first = lane; first < n; first += 256) {
        float logit[8];
#pragma unroll
        for (uint j = 0; j < 8; j++) logit[j] = logits[min(first + 32 * j, n - 1)];
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            most = qm_max(logit[j], most);
            if (first + 32 * j < n) probability[first + 32 * j] = logit[j];
        }
    }
#pragma unroll
    for (int half = 16; half > 0; half /= 2) most = qm_max(__shfl_xor_sync(kAllLanes, most, half), most);
    float partial[8] = {};
#pragma unroll 1
    for (uint first = lane; first < n; first += 256)
#pragma unroll
        for (uint j = 0; j < 8; j++) {
            if (first + 32 * j >= n) continue;
            probability[first + 32 * j] = qm_probability(probability[first + 32 * j], most);
            partial[j] = qm_add(partial[j], probability[first + 32 * j]);
        }
    const float inverse = qm_recip(tree256(partial));
    for (uint i = lane; i < sixteens(n); i += 32) {
        key[i] = -1;
        if (i >= n) continue;
        probability[i] = qm_mul(probability[i], inverse);
        key[i] = static_cast<int>(qm_rank_key(probability[i]));
    }
}

// By the threads that do not make the input. Experts by falling probability, lower index first: an expert's rank is the
// number of those before it. Two threads count for each, every other four of keys.
__device__ __forceinline__ void choose(const TopkParams& p, const int* key, const float* probability, uint* ids,
                                       float* chosen) {
    const uint part = threadIdx.x & 1;
    for (uint first = 0; first < p.experts; first += kMakers / 2) {
        const uint e = first + (threadIdx.x - kMakers) / 2;
        const int own = e < p.experts ? key[e] : 0;
        uint rank = 0;
#pragma unroll 4
        for (uint at = 4 * part; at < sixteens(p.experts); at += 8) {
            const int4 four = *reinterpret_cast<const int4*>(key + at);
            rank += four.x > (at < e ? own - 1 : own) ? 1 : 0;
            rank += four.y > (at + 1 < e ? own - 1 : own) ? 1 : 0;
            rank += four.z > (at + 2 < e ? own - 1 : own) ? 1 : 0;
            rank += four.w > (at + 3 < e ? own - 1 : own) ? 1 : 0;
        }
        rank += __shfl_xor_sync(kAllLanes, rank, 1);
        if (e < p.experts && rank < p.used && part == 0) {
            ids[rank] = e;
            chosen[rank] = probability[e];
        }
    }
}

// As one block of threads leaves them to the next step, a thread for each.
__device__ __forceinline__ void keep_choice(const Step& s, const uint* ids, const float* chosen, uint rank) {
    if (rank >= s.topk.used) return;
    float sum = 0.0f;
    for (uint r = 0; r < s.topk.used; r++) sum = qm_add(sum, chosen[r]);
    const float weight = chosen[rank];
    s.ids[rank] = static_cast<std::int32_t>(ids[rank]);
    s.weights[rank] = s.topk.renormalise ? qm_mul(weight, qm_recip(sum)) : weight;
}

// Tiles of one expert follow each other.
struct Chosen {
    const Matrix* of;
    const uint* ids;
    uint tiles;  // of an expert

    __device__ __forceinline__ const Matrix& matrix(uint part) const { return of[part]; }
    __device__ __forceinline__ uint within(uint tile) const { return kTileRows * (tile % tiles); }
    __device__ __forceinline__ std::size_t row(uint tile, uint) const {
        return std::size_t(ids[tile / tiles]) * of[0].rows + within(tile);
    }
};

template <class Format>
__global__ void __launch_bounds__(kThreads, 2) gate_up_kernel(const __grid_constant__ Step s) {
    if (threadIdx.x < 32) fetch_soon(s);
    extern __shared__ __align__(128) char shared[];
    __shared__ Arrival arrived[kMostParts];
    __shared__ uint done[kMostStages];
    __shared__ float partial[256];
    __shared__ uint ids[kMostUsed];
    __shared__ float chosen[kMostUsed];
    float* row = reinterpret_cast<float*>(shared + s.stages.shared());
    float* probability = row + s.norm.width;
    int* key = reinterpret_cast<int*>(probability + sixteens(s.topk.experts));
    const Input in(shared + s.stages.shared() + (s.norm.width + 2 * sixteens(s.topk.experts)) * sizeof(float),
                   s.stages.blocks);
    const uint ff = s.gate_up[0].rows;
    const Chosen source{s.gate_up, ids, tiles_in(ff)};
    Tiles<Format, Chosen> tiles(s.stages, {blockIdx.x, gridDim.x, s.topk.used * source.tiles}, shared, arrived, done,
                                source);
    float scale[8];
    s.norm.load_scale(scale);

    wait_for_step_before();
    if (threadIdx.x < kMakers) {
        s.norm.make<Format>(row, partial, scale, in);
    } else {
        if (threadIdx.x >= kThreads - 32) make_keys(s.logits, s.topk.experts, key, probability);
        others_meet();
        choose(s.topk, key, probability, ids, chosen);
        others_meet();
        tiles.start();
        if (blockIdx.x + 1 == gridDim.x) keep_choice(s, ids, chosen, threadIdx.x - kMakers);
    }
    __syncthreads();
    let_next_begin();  // its weights would be in the way of this step's input
    tiles.run(
        in, [](uint, uint block) { return block; },
        [&] {
            if ((threadIdx.x & 31) == 0) count_up_for_all(s.read);
        },
        [&](uint tile, auto sum) {
            const uint r = threadIdx.x % kTileRows, part = (threadIdx.x & 31) / kTileRows;
            const float own = sum(part, r);
            const float up = __shfl_down_sync(kAllLanes, own, kTileRows);
            const uint at = source.within(tile) + r;
            if (part == 0 && at < ff) s.out[tile / source.tiles * ff + at] = qm_swiglu(own, up);
        });
}

}  // namespace

uint gate_up_blocks(const GateUpParams& p) { return std::min(p.used * tiles_in(p.ff), processors()); }

cudaError_t gate_up_single(const NormParams& n, const TopkParams& topk, const GateUpParams& p, const float* residual,
                           const float* norm, const float* logits, const Weight& gate, const Weight& up,
                           std::int32_t* ids, float* weights, float* out, uint* gate_up_read, cudaStream_t stream) {
    const Matrix matrix = matrix_of(gate, p.ff);
    const uint tiles = p.used * tiles_in(p.ff), grid = gate_up_blocks(p);
    const uint fixed = (n.width + 2 * sixteens(p.experts)) * sizeof(float) + Input::bytes((n.width + 255) / 256);
    const Step step{{residual, norm, n.width, n.inverse_width, n.eps},
                    topk,
                    logits,
                    {matrix, matrix_of(up, p.ff)},
                    stages_of(matrix, 2, fixed, (tiles + grid - 1) / grid),
                    ids,
                    weights,
                    out,
                    gate_up_read};
    return with_format(
        gate.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto f) {
            return launch_tiles(gate_up_kernel<decltype(f)>, grid, step.stages.shared() + fixed, more_than_half(),
                                stream, step);
        });
}

}  // namespace qwen3moe::cuda
