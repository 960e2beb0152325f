// The integer sums of attention: K times the digits of Q, and V times the digits of its weights, as the cache lies.
#pragma once

#include "cpu/lanes.h"

namespace qwen3moe::cpu::QM_SIMD {

inline constexpr std::uint32_t kBlock = 256;  // keys
inline constexpr std::uint32_t kHeadsAtOnce = 8;

struct KeySums {
    alignas(64) std::int32_t high[kHeadsAtOnce][kBlock];
    alignas(64) std::int32_t low[kHeadsAtOnce][kBlock];
};
struct ValueSums {
    alignas(64) std::int32_t high[kHeadsAtOnce][128];
    alignas(64) std::int32_t low[kHeadsAtOnce][128];
};

#if defined(QM_LANES)

inline constexpr std::uint32_t kHeadsOfKeys = QM_LANES == 8 ? 4 : 8;  // whose sums fit the registers
inline constexpr std::uint32_t kHeadsOfValues = 2;
inline constexpr std::uint32_t kValueVectors = QM_LANES == 8 ? 2 : 4;

// Heads [first, first + kHeads), all keys.
template <std::uint32_t kDim, std::uint32_t kHeads>
QM_FN void sum_keys_of(std::uint32_t first, const std::int16_t* high, const std::int16_t* low, const std::int16_t* k,
                       std::uint32_t keys, KeySums& sums) {
    for (std::uint32_t j = 0; j < keys; j += kLanes) {
        const std::int16_t* group = k + std::size_t(j / kKeyGroup) * kKeyGroup * kDim + 2 * (j % kKeyGroup);
        Lanes sum_high[kHeads], sum_low[kHeads];
        for (std::uint32_t h = 0; h < kHeads; h++) sum_high[h] = sum_low[h] = splat(0);
        for (std::uint32_t i = 0; i < kDim; i += 2) {
            const Lanes pairs = load(group + i * kKeyGroup);
#pragma GCC unroll 8
            for (std::uint32_t h = 0; h < kHeads; h++) {
                sum_high[h] = dot2(sum_high[h], pairs, splat_at(high + (first + h) * kDim + i));
                sum_low[h] = dot2(sum_low[h], pairs, splat_at(low + (first + h) * kDim + i));
            }
        }
        for (std::uint32_t h = 0; h < kHeads; h++) {
            store(sums.high[first + h] + j, sum_high[h]);
            store(sums.low[first + h] + j, sum_low[h]);
        }
    }
}

template <std::uint32_t kDim, std::uint32_t kHeads>
QM_FN void sum_values_of(std::uint32_t first, const std::int16_t (*high)[kBlock], const std::int16_t (*low)[kBlock],
                         const std::int16_t* v, std::uint32_t keys, ValueSums& sums) {
    for (std::uint32_t c = 0; c < kDim; c += kValueVectors * kLanes) {
        Lanes sum_high[kHeads][kValueVectors], sum_low[kHeads][kValueVectors];
        for (std::uint32_t h = 0; h < kHeads; h++)
            for (std::uint32_t i = 0; i < kValueVectors; i++) sum_high[h][i] = sum_low[h][i] = splat(0);
        for (std::uint32_t j = 0; j < keys; j += 2) {
            Lanes pairs[kValueVectors];
            for (std::uint32_t i = 0; i < kValueVectors; i++) pairs[i] = load(v + j * kDim + 2 * (c + i * kLanes));
#pragma GCC unroll 2
            for (std::uint32_t h = 0; h < kHeads; h++) {
                const Lanes weight_high = splat_at(high[first + h] + j), weight_low = splat_at(low[first + h] + j);
#pragma GCC unroll 4
                for (std::uint32_t i = 0; i < kValueVectors; i++) {
                    sum_high[h][i] = dot2(sum_high[h][i], pairs[i], weight_high);
                    sum_low[h][i] = dot2(sum_low[h][i], pairs[i], weight_low);
                }
            }
        }
        for (std::uint32_t h = 0; h < kHeads; h++)
            for (std::uint32_t i = 0; i < kValueVectors; i++) {
                store(sums.high[first + h] + c + i * kLanes, sum_high[h][i]);
                store(sums.low[first + h] + c + i * kLanes, sum_low[h][i]);
            }
    }
}

template <std::uint32_t kDim>
QM_FN void sum_keys(std::uint32_t heads, const std::int16_t* high, const std::int16_t* low, const std::int16_t* k,
                    std::uint32_t keys, KeySums& sums) {
    std::uint32_t h = 0;
    for (; h + kHeadsOfKeys <= heads; h += kHeadsOfKeys) sum_keys_of<kDim, kHeadsOfKeys>(h, high, low, k, keys, sums);
    for (; h + 2 <= heads; h += 2) sum_keys_of<kDim, 2>(h, high, low, k, keys, sums);
    for (; h < heads; h++) sum_keys_of<kDim, 1>(h, high, low, k, keys, sums);
}

// Weights past the last key are 0.
template <std::uint32_t kDim>
QM_FN void sum_values(std::uint32_t heads, const std::int16_t (*high)[kBlock], const std::int16_t (*low)[kBlock],
                      const std::int16_t* v, std::uint32_t keys, ValueSums& sums) {
    std::uint32_t h = 0;
    for (; h + kHeadsOfValues <= heads; h += kHeadsOfValues)
        sum_values_of<kDim, kHeadsOfValues>(h, high, low, v, keys, sums);
    for (; h < heads; h++) sum_values_of<kDim, 1>(h, high, low, v, keys, sums);
}

#else

template <std::uint32_t kDim>
QM_FN void sum_keys(std::uint32_t heads, const std::int16_t* high, const std::int16_t* low, const std::int16_t* k,
                    std::uint32_t keys, KeySums& sums) {
    for (std::uint32_t h = 0; h < heads; h++)
        for (std::uint32_t j = 0; j < keys; j++) {
            const std::int16_t* group = k + std::size_t(j / kKeyGroup) * kKeyGroup * kDim + 2 * (j % kKeyGroup);
            std::int32_t sum_high = 0, sum_low = 0;
            for (std::uint32_t i = 0; i < kDim; i++) {
                const std::int32_t x = group[i / 2 * 2 * kKeyGroup + i % 2];
                sum_high += high[h * kDim + i] * x;
                sum_low += low[h * kDim + i] * x;
            }
            sums.high[h][j] = sum_high;
            sums.low[h][j] = sum_low;
        }
}

template <std::uint32_t kDim>
QM_FN void sum_values(std::uint32_t heads, const std::int16_t (*high)[kBlock], const std::int16_t (*low)[kBlock],
                      const std::int16_t* v, std::uint32_t keys, ValueSums& sums) {
    for (std::uint32_t h = 0; h < heads; h++) {
        for (std::uint32_t c = 0; c < kDim; c++) sums.high[h][c] = sums.low[h][c] = 0;
        for (std::uint32_t j = 0; j < keys; j++)
            for (std::uint32_t c = 0; c < kDim; c++) {
                const std::int32_t x = v[(j / 2 * kDim + c) * 2 + j % 2];
                sums.high[h][c] += high[h][j] * x;
                sums.low[h][c] += low[h][j] * x;
            }
    }
}

#endif

}  // namespace qwen3moe::cpu::QM_SIMD
