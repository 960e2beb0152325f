// Causal attention: first every block of 256 keys of every head by itself, then the blocks merged left to right.
#include "cuda/quantise.cuh"
#include "cuda/steps.h"

namespace qwen3moe::cuda {
namespace {

constexpr uint kBlock = 256;
constexpr uint kThreads = 128;
constexpr uint kWarps = kThreads / 32;

struct Shared {
    float scores[kBlock];
    float partial[kThreads];
    uint most[kWarps];
    int2 weights[kBlock];  // the two digits of p * dv
};

// Sixteen of K times sixteen of Q, both digits of K with each digit of Q.
__device__ __forceinline__ int dot16(int4 a, int4 b, int sum) {
    return __dp4a(a.x, b.x, __dp4a(a.y, b.y, __dp4a(a.z, b.z, __dp4a(a.w, b.w, sum))));
}

// Scores of the block's keys: a key is shared by kDim / 16 lanes.
template <uint kDim>
__device__ __forceinline__ void make_scores(const Queries& q, std::size_t head, const CacheView& cache, std::size_t row,
                                            uint keys, float* scores) {
    constexpr uint kLanes = kDim / 16;
    constexpr uint kStep = kThreads / kLanes;  // keys at a time
    const uint part = threadIdx.x % kLanes;
    const int4 q_high = reinterpret_cast<const int4*>(q.high)[head * kLanes + part];
    const int4 q_low = reinterpret_cast<const int4*>(q.low)[head * kLanes + part];
    const float dq = q.scale[head];
    const int4* k = reinterpret_cast<const int4*>(cache.k) + row * 2 * kLanes;
#pragma unroll 4
    for (uint j0 = 0; j0 < kBlock; j0 += kStep) {
        if (j0 >= keys) break;
        const uint j = j0 + threadIdx.x / kLanes;
        const uint at = j < keys ? j : keys - 1;
        const int4 k_high = k[at * 2 * kLanes + part];
        const int4 k_low = k[at * 2 * kLanes + kLanes + part];
        int high = 256 * dot16(k_high, q_high, 0) + dot16(k_low, q_high, 0);
        int low = 256 * dot16(k_high, q_low, 0) + dot16(k_low, q_low, 0);
#pragma unroll
        for (uint step = kLanes / 2; step > 0; step /= 2) {
            high += __shfl_xor_sync(kAllLanes, high, step);
            low += __shfl_xor_sync(kAllLanes, low, step);
        }
        if (part == 0 && j < keys) scores[j] = qm_score(dq, cache.k_scale[row + j], high, low);
    }
}

__device__ __forceinline__ float block_max(const float* scores, uint keys) {
    float most = QM_SCORE_FLOOR;
    for (uint j = threadIdx.x & 31; j < keys; j += 32) most = qm_max(scores[j], most);
#pragma unroll
    for (int half = 16; half > 0; half /= 2) most = qm_max(__shfl_xor_sync(kAllLanes, most, half), most);
    return most;
}

// Sums over the block's keys of V times a digit of its weight: a lane has four dimensions of every kGroups-th key.
template <uint kDim>
__device__ __forceinline__ void weigh_values(const CacheView& cache, std::size_t row, uint keys, const int2* weights,
                                             int (&high)[4], int (&low)[4]) {
    constexpr uint kLanes = kDim / 4;
    constexpr uint kGroups = kThreads / kLanes;
    const short4* v = reinterpret_cast<const short4*>(cache.v) + row * kLanes + threadIdx.x % kLanes;
#pragma unroll 8
    for (uint j = threadIdx.x / kLanes; j < keys; j += kGroups) {
        const short4 x = v[j * kLanes];
        const int2 w = weights[j];
        high[0] += w.x * x.x, high[1] += w.x * x.y, high[2] += w.x * x.z, high[3] += w.x * x.w;
        low[0] += w.y * x.x, low[1] += w.y * x.y, low[2] += w.y * x.z, low[3] += w.y * x.w;
    }
}

template <uint kDim>
__global__ void __launch_bounds__(kThreads)
    key_block_kernel(AttentionParams p, uint first_token, Queries queries, const Place* places, const CacheView* caches,
                     uint layer, KeyBlocks out) {
    __shared__ Shared s;
    __shared__ int sums[2][kThreads * 4];
    const uint t = blockIdx.z, h = blockIdx.y, first = blockIdx.x * kBlock;
    const Place place = places[first_token + t];
    if (first > place.position) return;
    const uint keys = min(kBlock, place.position + 1 - first);
    const CacheView cache = caches[place.sequence];
    const uint kv = h / (p.heads / p.kv_heads);
    const std::size_t row = (std::size_t(layer) * p.kv_heads + kv) * cache.context + first;
    const uint lane = threadIdx.x & 31, warp = threadIdx.x / 32;

    make_scores<kDim>(queries, std::size_t(first_token + t) * p.heads + h, cache, row, keys, s.scores);
    __syncthreads();
    const float maximum = block_max(s.scores, keys);

    // This thread's keys: j and j + 128.
    float probability[2], scaled[2];
#pragma unroll
    for (uint i = 0; i < 2; i++) {
        const uint j = threadIdx.x + kThreads * i;
        probability[i] = j < keys ? qm_probability(s.scores[j], maximum) : 0.0f;
        scaled[i] = j < keys ? qm_mul(probability[i], cache.v_scale[row + j]) : 0.0f;
    }
    s.partial[threadIdx.x] = qm_add(probability[0], probability[1]);  // the first step of the tree of 256
    const uint warp_most = warp_amax_bits(scaled);
    if (lane == 0) s.most[warp] = warp_most;
    __syncthreads();
    uint most = 0;
    for (uint i = 0; i < kWarps; i++) most = max(most, s.most[i]);
    const float inverse = qm_x16_inverse(most);
#pragma unroll
    for (uint i = 0; i < 2; i++) {
        const int q = qm_x16(scaled[i], inverse);
        s.weights[threadIdx.x + kThreads * i] = make_int2(qm_x16_high(q), qm_x16_low(q));
    }
    const float half[8] = {s.partial[lane], s.partial[lane + 32], s.partial[lane + 64], s.partial[lane + 96]};
    const float total = tree256(half);  // the rest of it: the other half is zero
    __syncthreads();

    int high[4] = {}, low[4] = {};
    weigh_values<kDim>(cache, row, keys, s.weights, high, low);
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        sums[0][4 * threadIdx.x + i] = high[i];
        sums[1][4 * threadIdx.x + i] = low[i];
    }
    __syncthreads();
    const std::size_t at = (std::size_t(t) * p.heads + h) * out.count + blockIdx.x;
    if (threadIdx.x < kDim) {
        int both[2] = {0, 0};
        for (uint i = threadIdx.x; i < 4 * kThreads; i += kDim) both[0] += sums[0][i], both[1] += sums[1][i];
        out.values[at * kDim + threadIdx.x] = qm_block_value(qm_x16_scale(most), both[0], both[1]);
    }
    if (threadIdx.x == 0) {
        out.maximum[at] = maximum;
        out.total[at] = total;
    }
}

// A block of threads for 256 outputs of one token: each thread merges one dimension of one head.
__global__ void __launch_bounds__(256)
    merge_kernel(AttentionParams p, uint first_token, const Place* places, KeyBlocks in, Activations out) {
    __shared__ float merged[256];
    const uint t = blockIdx.y, block = blockIdx.x;
    const uint column = 256 * block + threadIdx.x;
    const uint blocks = places[first_token + t].position / kBlock + 1;
    if (column < out.columns) {
        const std::size_t first = (std::size_t(t) * p.heads + column / p.head_dim) * in.count;
        float maximum = QM_SCORE_FLOOR;
        float total = 0.0f;
        float running = 0.0f;
        for (std::size_t b = first; b < first + blocks; b++) {
            const float next = qm_max(in.maximum[b], maximum);
            const float keep = qm_exp(qm_sub(maximum, next));
            const float gain = qm_exp(qm_sub(in.maximum[b], next));
            total = qm_merge(total, keep, in.total[b], gain);
            running = qm_merge(running, keep, in.values[b * p.head_dim + column % p.head_dim], gain);
            maximum = next;
        }
        merged[threadIdx.x] = qm_mul(running, qm_recip(total));
    }
    __syncthreads();
    if (threadIdx.x < 32) make_block([&](uint i) { return merged[i - 256 * block]; }, out, first_token + t, block);
}

}  // namespace

cudaError_t attention(const AttentionParams& p, uint first, const Queries& queries, const Place* places,
                      const CacheView* caches, uint layer, const KeyBlocks& blocks, const Activations& out,
                      cudaStream_t stream) {
    const auto kernel = p.head_dim == 64 ? key_block_kernel<64> : key_block_kernel<128>;
    kernel<<<dim3(blocks.count, p.heads, p.tokens), kThreads, 0, stream>>>(p, first, queries, places, caches, layer,
                                                                           blocks);
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
    merge_kernel<<<dim3(out.blocks(), p.tokens), 256, 0, stream>>>(p, first, places, blocks, out);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
