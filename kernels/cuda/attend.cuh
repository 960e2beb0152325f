// One block of 256 keys for up to kColumns queries of one KV head, by a block of 256 threads and integer tensor cores.
// A column is one head of Q of one token.
#pragma once

#include "cuda/quantise.cuh"
#include "cuda/steps.h"
#include "cuda/tensor_core.cuh"

namespace qwen3moe::cuda {

inline constexpr uint kKeys = 256;  // in a block

template <uint kDim, uint kColumns>
struct alignas(16) Attend {
    // Sixteen bytes of eight rows meet in different banks where rows are an odd multiple of 64 bytes apart.
    static constexpr uint kQStride = kDim == 64 ? 64 : 192;
    static constexpr uint kScoreStride = kKeys + 16;

    std::int8_t q[2][kColumns][kQStride];  // digits
    float scores[kColumns][kScoreStride];  // then, in the same place, the two digits of p * dv: [2][kKeys]
    float q_scale[kColumns];               // times score_scale
    float v_scale[kKeys];
    float weight_scale[kColumns];  // of p * dv
    uint keys[kColumns];           // of this block that the column sees
    float maximum[kColumns], total[kColumns];

    __device__ __forceinline__ std::int8_t* weights(uint column, uint digit) {
        return reinterpret_cast<std::int8_t*>(scores[column]) + kKeys * digit;
    }
};

__device__ __forceinline__ int4 load16(const std::int8_t* p) { return *reinterpret_cast<const int4*>(p); }

// c += a * b over 64 bytes of k, of which a lane holds 16 of each row: which of the 64 they are is the same in a and b.
__device__ __forceinline__ void multiply64(int (&c)[4], int4 row, int4 row8, int4 column) {
    const int first[4] = {row.x, row8.x, row.y, row8.y}, second[4] = {row.z, row8.z, row.w, row8.w};
    const int b_first[2] = {column.x, column.y}, b_second[2] = {column.z, column.w};
    multiply32(c, first, b_first);
    multiply32(c, second, b_second);
}

// What a lane holds of sixteen keys: its part of rows g and g + 8.
template <uint kDim>
struct KeyTile {
    static constexpr uint kParts = kDim / 64;
    int4 k[2][2][kParts];  // [digit][row]
    float scale[2];

    // row: of the block's first key. Keys past the last repeat it.
    __device__ __forceinline__ void load(const CacheView& cache, std::size_t row, uint tile, uint keys) {
        const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
#pragma unroll
        for (uint r = 0; r < 2; r++) {
            const std::size_t key = row + min(16 * tile + g + 8 * r, keys - 1);
            scale[r] = cache.k_scale[key];
#pragma unroll
            for (uint digit = 0; digit < 2; digit++)
#pragma unroll
                for (uint h = 0; h < kParts; h++)
                    k[digit][r][h] = load16(cache.k + (2 * key + digit) * kDim + 64 * h + 16 * t);
        }
    }
};

template <uint kDim, uint kColumns>
__device__ __forceinline__ void make_scores(Attend<kDim, kColumns>& s, const KeyTile<kDim>& keys, uint tile) {
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
#pragma unroll
    for (uint n = 0; n < kColumns / 8; n++) {
        int c[2][2][4] = {};  // [digit of Q][digit of K]
#pragma unroll
        for (uint h = 0; h < KeyTile<kDim>::kParts; h++)
#pragma unroll
            for (uint digit = 0; digit < 2; digit++) {
                const int4 q = load16(&s.q[digit][8 * n + g][64 * h + 16 * t]);
                multiply64(c[digit][0], keys.k[0][0][h], keys.k[0][1][h], q);
                multiply64(c[digit][1], keys.k[1][0][h], keys.k[1][1][h], q);
            }
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint column = 8 * n + 2 * t + i % 2;
            const int high = 256 * c[0][0][i] + c[0][1][i], low = 256 * c[1][0][i] + c[1][1][i];
            s.scores[column][16 * tile + g + 8 * (i / 2)] = qm_score(s.q_scale[column], keys.scale[i / 2], high, low);
        }
    }
}

// Of every column: its maximum, its sum of probabilities, and p * dv as X16.
template <uint kDim, uint kColumns>
__device__ __forceinline__ void weigh_keys(Attend<kDim, kColumns>& s) {
    const uint lane = threadIdx.x & 31;
    for (uint column = threadIdx.x / 32; column < kColumns; column += blockDim.x / 32) {
        const uint keys = s.keys[column];
        if (keys == 0) continue;
        float score[8], most = QM_SCORE_FLOOR;
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            const uint j = lane + 32 * i;
            score[i] = 0.0f;
            if (j < keys) {
                score[i] = s.scores[column][j];
                most = qm_max(score[i], most);
            }
        }
#pragma unroll
        for (int half = 16; half > 0; half /= 2) most = qm_max(__shfl_xor_sync(kAllLanes, most, half), most);
        float probability[8], scaled[8];
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            const uint j = lane + 32 * i;
            probability[i] = scaled[i] = 0.0f;
            if (32 * i >= keys) continue;  // all lanes
            if (j < keys) {
                probability[i] = qm_probability(score[i], most);
                scaled[i] = qm_mul(probability[i], s.v_scale[j]);
            }
        }
        const float total = tree256(probability);
        const uint amax = warp_amax_bits(scaled);
        const float inverse = qm_x16_inverse(amax);
        __syncwarp();  // every lane has read its scores, whose place the weights take
#pragma unroll
        for (uint i = 0; i < 8; i++) {
            const int x = qm_x16(scaled[i], inverse);
            s.weights(column, 0)[lane + 32 * i] = static_cast<std::int8_t>(qm_x16_high(x));
            s.weights(column, 1)[lane + 32 * i] = static_cast<std::int8_t>(qm_x16_low(x));
        }
        if (lane == 0) {
            s.weight_scale[column] = qm_x16_scale(amax);
            s.maximum[column] = most;
            s.total[column] = total;
        }
    }
}

// A warp has sixteen dimensions, and of the columns' eights every kStep-th from its own first.
template <uint kDim, uint kColumns>
struct Share {
    static constexpr uint kTiles = kDim / 16;
    static constexpr uint kStep = 8 / kTiles;
    static constexpr uint kEights = (kColumns / 8 + kStep - 1) / kStep;

    static __device__ __forceinline__ uint dimension(uint i) {  // of element i of four
        return 16 * (threadIdx.x / 32 % kTiles) + (threadIdx.x & 31) / 4 + 8 * (i / 2);
    }
    static __device__ __forceinline__ uint eight(uint n) { return threadIdx.x / 32 / kTiles + kStep * n; }
    static __device__ __forceinline__ uint column(uint n, uint i) {
        return 8 * eight(n) + 2 * (threadIdx.x & 3) + i % 2;
    }
    static __device__ __forceinline__ bool inside(uint n) { return eight(n) < kColumns / 8; }
};

// What a lane holds of V at 64 keys: its share's dimensions g and g + 8.
template <uint kDim, uint kColumns>
struct ValueTile {
    int4 v[2][2];  // [digit][dimension]

    // v: of the block's first key
    __device__ __forceinline__ void load(const std::int8_t* from, uint first) {
        const std::size_t at = v_offset(first + 16 * (threadIdx.x & 3), kDim);
#pragma unroll
        for (uint digit = 0; digit < 2; digit++)
#pragma unroll
            for (uint r = 0; r < 2; r++)
                v[digit][r] = load16(from + at + kRun * (kDim * digit + Share<kDim, kColumns>::dimension(2 * r)));
    }
};

// Sums of V by those weights: tile(i) is the i-th ValueTile; take(n, i, value) of the warp's share.
template <uint kDim, uint kColumns, class Tile, class Take>
__device__ __forceinline__ void weigh_values(Attend<kDim, kColumns>& s, uint keys, Tile tile, Take take) {
    using Mine = Share<kDim, kColumns>;
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    int c[Mine::kEights][2][2][4] = {};  // [digit of the weight][digit of V]
#pragma unroll
    for (uint j = 0; j < kKeys / 64; j++) {
        if (64 * j < keys) {
            const ValueTile<kDim, kColumns> rows = tile(j);
#pragma unroll
            for (uint n = 0; n < Mine::kEights; n++) {
                if (!Mine::inside(n)) continue;
#pragma unroll
                for (uint digit = 0; digit < 2; digit++) {
                    const int4 p = load16(s.weights(8 * Mine::eight(n) + g, digit) + 64 * j + 16 * t);
                    multiply64(c[n][digit][0], rows.v[0][0], rows.v[0][1], p);
                    multiply64(c[n][digit][1], rows.v[1][0], rows.v[1][1], p);
                }
            }
        }
    }
#pragma unroll
    for (uint n = 0; n < Mine::kEights; n++) {
        if (!Mine::inside(n)) continue;
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const int high = 256 * c[n][0][0][i] + c[n][0][1][i], low = 256 * c[n][1][0][i] + c[n][1][1][i];
            take(n, i, qm_block_value(s.weight_scale[Mine::column(n, i)], high, low));
        }
    }
}

// ---- blocks merged left to right

struct Merged {
    float maximum = QM_SCORE_FLOOR;
    float total = 0.0f;
};
struct MergeFactors {
    float keep, gain;
};

__device__ __forceinline__ MergeFactors merge_block(Merged& merged, float maximum, float total) {
    const float next = qm_max(maximum, merged.maximum);
    const MergeFactors f{qm_exp(qm_sub(merged.maximum, next)), qm_exp(qm_sub(maximum, next))};
    merged.total = qm_merge(merged.total, f.keep, total, f.gain);
    merged.maximum = next;
    return f;
}

}  // namespace qwen3moe::cuda
