// Norms, rotation and append of the token's heads, and attention: a block of threads for each KV head and block of 256
// keys. The last of a head's blocks to finish merges them all, left to right.
#include "cuda/attend.cuh"
#include "cuda/heads.cuh"
#include "cuda/launch.cuh"
#include "cuda/single/soon.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kThreads = 512;
constexpr uint kWarps = kThreads / 32;

struct Step {
    RopeAppendParams rope_params;
    const float *q, *k, *v;
    const float *q_norm, *k_norm;
    const float* rope;
    const Place* place;
    const CacheView* cache;
    uint layer;
    KeyBlocks blocks;
    uint* done;  // [kv_heads], blocks that are finished
    float* out;
    uint early;  // blocks of threads that have a multiprocessor before the step before has ended
};

// The digits of the token's own K, as the keys that were loaded before it was made lack them.
template <uint kDim>
struct alignas(16) OwnKey {
    std::int8_t k[2][kDim];
    float scale;
};

// What makes a head's output of its only block.
struct AloneFactors {
    MergeFactors block;
    float inverse;
};

// K and V of one block of threads.
template <uint kDim>
__device__ __forceinline__ void fetch_keys(const Step& s, const CacheView& cache, uint block, uint kv, uint position) {
    const uint first = block * kKeys;
    if (first > position) return;
    const uint keys = min(kKeys, position + 1 - first);
    const std::size_t row = cache.row(s.layer, s.rope_params.kv_heads, kv);
    fetch_soon(cache.k + (row + first) * 2 * kDim, keys * 2 * kDim);
    fetch_soon(cache.v + row * 2 * kDim + v_offset(first, kDim), (keys + kRun - 1) / kRun * kRun * 2 * kDim);
}

// Q to shared memory; the token's own K and V to the cache, by the block of threads whose keys they belong to.
template <uint kDim, uint kColumns>
__device__ __forceinline__ void make_heads(const Step& s, uint kv, uint group, uint position, bool append,
                                           const CacheView& cache, std::size_t row, Attend<kDim, kColumns>& a,
                                           OwnKey<kDim>& own) {
    constexpr int N = kDim / 32;
    const float* angles = s.rope + std::size_t(position) * kDim;
    const uint lane = threadIdx.x & 31;
    for (uint i = threadIdx.x / 32; i < group + (append ? 2 : 0); i += kWarps) {
        float x[N];
        if (i < group) {
            load_head(s.q + std::size_t(kv * group + i) * kDim, x);
            norm_and_rotate(s.rope_params, x, s.q_norm, angles);
            const float scale = quantise_head(x, [&](uint at, std::int8_t high, std::int8_t low) {
                a.q[0][i][at] = high;
                a.q[1][i][at] = low;
            });
            if (lane == 0) a.q_scale[i] = qm_mul(scale, s.rope_params.score_scale);
        } else if (i == group) {
            load_head(s.k + std::size_t(kv) * kDim, x);
            norm_and_rotate(s.rope_params, x, s.k_norm, angles);
            const float scale = append_k(x, cache, row, position, [&](uint at, std::int8_t high, std::int8_t low) {
                own.k[0][at] = high;
                own.k[1][at] = low;
            });
            if (lane == 0) own.scale = scale;
        } else {
            load_head(s.v + std::size_t(kv) * kDim, x);
            const float scale = append_v(x, cache, row, position);
            if (lane == 0) a.v_scale[position % kKeys] = scale;
        }
    }
}

// A lane's factors where it holds one of `count` blocks, from left to right: a maximum so far does not depend on how it
// is found. What all of them leave goes to `merged`, in every lane.
__device__ __forceinline__ MergeFactors merge_lanes(Merged& merged, float maximum, float total, uint count) {
    const uint lane = threadIdx.x & 31;
    float now = maximum;
#pragma unroll
    for (uint step = 1; step < 32; step *= 2) {
        const float before = __shfl_up_sync(kAllLanes, now, step);
        if (lane >= step) now = qm_max(now, before);
    }
    now = qm_max(now, merged.maximum);
    const float before = __shfl_up_sync(kAllLanes, now, 1);
    const MergeFactors f{qm_exp(qm_sub(lane == 0 ? merged.maximum : before, now)), qm_exp(qm_sub(maximum, now))};
#pragma unroll 4
    for (uint b = 0; b < count; b++)
        merged.total = qm_merge(merged.total, __shfl_sync(kAllLanes, f.keep, b), __shfl_sync(kAllLanes, total, b),
                                __shfl_sync(kAllLanes, f.gain, b));
    merged.maximum = __shfl_sync(kAllLanes, now, count - 1);
    return f;
}

// Thirty-two blocks at a time: a warp makes the factors of a head, then every thread follows its elements.
template <uint kDim, uint kColumns>
__device__ __forceinline__ void merge_blocks(const Step& s, uint first_head, uint group, uint count) {
    __shared__ MergeFactors factors[kColumns][32];
    __shared__ float totals[kColumns];
    constexpr uint kMost = kColumns * kDim / kThreads;
    constexpr uint kAhead = 32 / kMost;  // blocks whose values are asked for before their factors are made
    const uint lane = threadIdx.x & 31;
    static_assert(kColumns <= kWarps);
    const uint own = threadIdx.x / 32;
    Merged merged;
    float running[kMost] = {};
    for (uint first = 0; first < count; first += 32) {
        const uint now = min(32u, count - first);
        const auto value = [&](uint i, uint b) {
            const uint element = threadIdx.x + kThreads * i;
            const std::size_t at =
                std::size_t(first_head + min(element / kDim, group - 1)) * s.blocks.count + first + b;
            return __ldcg(s.blocks.values + at * kDim + element % kDim);
        };
        float ahead[kMost][kAhead];
#pragma unroll
        for (uint i = 0; i < kMost; i++)
#pragma unroll
            for (uint b = 0; b < kAhead; b++) ahead[i][b] = value(i, min(b, now - 1));
        if (own < group) {
            const std::size_t at = std::size_t(first_head + own) * s.blocks.count + first + min(lane, now - 1);
            factors[own][lane] = merge_lanes(merged, __ldcg(&s.blocks.maximum[at]), __ldcg(&s.blocks.total[at]), now);
            if (lane == 0) totals[own] = merged.total;
        }
        __syncthreads();
#pragma unroll
        for (uint i = 0; i < kMost; i++) {
            const uint head = min((threadIdx.x + kThreads * i) / kDim, group - 1);
            const auto merge = [&](uint b, float x) {
                running[i] = qm_merge(running[i], factors[head][b].keep, x, factors[head][b].gain);
            };
#pragma unroll
            for (uint b = 0; b < kAhead; b++)
                if (b < now) merge(b, ahead[i][b]);
#pragma unroll 4
            for (uint b = kAhead; b < now; b++) merge(b, value(i, b));
        }
        __syncthreads();
    }
#pragma unroll
    for (uint i = 0; i < kMost; i++) {
        const uint element = threadIdx.x + kThreads * i;
        const uint head = element / kDim;
        if (head < group) s.out[std::size_t(first_head) * kDim + element] = qm_mul(running[i], qm_recip(totals[head]));
    }
}

template <uint kDim, uint kColumns>
__global__ void __launch_bounds__(kThreads) attention_single_kernel(const __grid_constant__ Step s) {
    using Mine = Share<kDim, kColumns>;
    __shared__ Attend<kDim, kColumns> a;
    __shared__ OwnKey<kDim> own;
    __shared__ AloneFactors alone[kColumns];
    __shared__ bool last_to_finish;
    if (threadIdx.x >= kThreads - 32) fetch_soon(s);
    // The batch and the keys of other tokens were there before the step before began.
    const Place place = *s.place;
    const CacheView cache = *s.cache;
    const uint kv = blockIdx.y, group = s.rope_params.heads / s.rope_params.kv_heads;
    const uint block = blockIdx.x, blocks = place.position / kKeys + 1;
    const std::size_t row = cache.row(s.layer, s.rope_params.kv_heads, kv);
    const uint first = block * kKeys;
    const bool append = block + 1 == blocks;
    if (block >= blocks) return;
    const uint keys = min(kKeys, place.position + 1 - first);
    const uint lane = threadIdx.x & 31, warp = threadIdx.x / 32;

    if (append && threadIdx.x == 0) {
        fetch_soon(s.q_norm, kDim * sizeof(float));
        fetch_soon(s.k_norm, kDim * sizeof(float));
        fetch_soon(s.rope + std::size_t(place.position) * kDim, kDim * sizeof(float));
    }
    const std::int8_t* values = cache.v + row * 2 * kDim + v_offset(first, kDim);
    // The first blocks of threads begin long before the others, where qkv has none, and ask for what all will read.
    if (threadIdx.x < 32)
        for (uint id = blockIdx.x + gridDim.x * blockIdx.y + s.early * threadIdx.x; id < gridDim.x * gridDim.y;
             id += s.early * 32)
            fetch_keys<kDim>(s, cache, id % gridDim.x, id / gridDim.x, place.position);
    static_assert(16 * kWarps == kKeys);
    if (threadIdx.x < kColumns) a.keys[threadIdx.x] = threadIdx.x < group ? keys : 0;
    if (threadIdx.x < keys - (append ? 1 : 0)) a.v_scale[threadIdx.x] = cache.v_scale[row + first + threadIdx.x];
    KeyTile<kDim> k;
    if (16 * warp < keys) k.load(cache, row + first, warp, keys);
    wait_for_step_before();
    make_heads(s, kv, group, place.position, append, cache, row, a, own);
    __syncthreads();

    if (16 * warp < keys) {
#pragma unroll
        for (uint r = 0; r < 2; r++)
            if (append && min(16 * warp + lane / 4 + 8 * r, keys - 1) == keys - 1) {
                k.scale[r] = own.scale;
#pragma unroll
                for (uint digit = 0; digit < 2; digit++)
#pragma unroll
                    for (uint h = 0; h < KeyTile<kDim>::kParts; h++)
                        k.k[digit][r][h] = load16(own.k[digit] + 64 * h + 16 * (lane & 3));
            }
        make_scores(a, k, warp);
    }
    ValueTile<kDim, kColumns> v[kKeys / 64];
#pragma unroll
    for (uint j = 0; j < kKeys / 64; j++)
        if (warp < 8 && 64 * j < keys) v[j].load(values, 64 * j);
    __syncthreads();
    let_next_begin();  // its weights would be in the way of these keys and values
    weigh_keys(a);
    if (blocks == 1 && lane == 0 && warp < kColumns) {  // whose keys this warp weighed
        Merged merged;
        const MergeFactors f = merge_block(merged, a.maximum[warp], a.total[warp]);
        alone[warp] = {f, qm_recip(merged.total)};
    }
    __syncthreads();
    const auto put = [&](uint n, uint i, float value) {
        const uint c = Mine::column(n, i);
        if (c >= group) return;
        const uint head = kv * group + c;
        if (blocks == 1) {
            const auto [f, inverse] = alone[c];
            s.out[std::size_t(head) * kDim + Mine::dimension(i)] =
                qm_mul(qm_merge(0.0f, f.keep, value, f.gain), inverse);
            return;
        }
        const std::size_t at = std::size_t(head) * s.blocks.count + block;
        s.blocks.values[at * kDim + Mine::dimension(i)] = value;
        if (Mine::dimension(i) == 0) {
            s.blocks.maximum[at] = a.maximum[c];
            s.blocks.total[at] = a.total[c];
        }
    };
    if (warp < 8) weigh_values(a, keys, [&](uint j) { return v[j]; }, put);
    if (blocks == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last_to_finish = atomicAdd(&s.done[kv], 1u) + 1 == blocks;
        if (last_to_finish) s.done[kv] = 0;
    }
    __syncthreads();
    if (!last_to_finish) return;
    __threadfence();
    merge_blocks<kDim, kColumns>(s, kv * group, group, blocks);
}

}  // namespace

cudaError_t attention_single(const RopeAppendParams& rope_params, const float* q, const float* k, const float* v,
                             const float* q_norm, const float* k_norm, const float* rope, const Place* place,
                             const CacheView* cache, uint layer, const KeyBlocks& blocks, uint* done, float* out,
                             cudaStream_t stream) {
    const Step step{rope_params, q,     k,     v,      q_norm, k_norm, rope,
                    place,       cache, layer, blocks, done,   out,    processors() / 8};
    const bool wide = rope_params.heads / rope_params.kv_heads > 8;
    const auto kernel = rope_params.head_dim == 64
                            ? (wide ? attention_single_kernel<64, 16> : attention_single_kernel<64, 8>)
                            : (wide ? attention_single_kernel<128, 16> : attention_single_kernel<128, 8>);
    const cudaError_t error = ask_for_shared(kernel, 0);
    if (error != cudaSuccess) return error;
    return launch(kernel, dim3(blocks.count, rope_params.kv_heads), kThreads, stream, step);
}

}  // namespace qwen3moe::cuda
