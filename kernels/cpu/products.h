// Integer sums of a weight block times the digits of X16: plain loops that compilers turn into vector code, and byte
// products where the instruction set has them. The sums are exact, so every way gives the same.
#pragma once

#include "cpu/unpack.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define QM_BYTE_PRODUCTS
#endif

namespace qwen3moe::cpu::QM_SIMD {

struct Sums {
    std::int32_t high, low;
};

// A block of 256 made ready for many tokens.
struct alignas(64) Operand {
    Block block;
#if !defined(QM_BYTE_PRODUCTS)
    std::int16_t folded[256];  // scale * (q - bias), at most 4096: a sum is then one plain sum of products
#endif
};

// A block of activations made ready for many rows of weights.
struct alignas(64) Digits {
    explicit Digits(const X16Block& x) : block(x) {
#if !defined(QM_BYTE_PRODUCTS)
        for (int i = 0; i < 256; i++) high[i] = x.high[i], low[i] = x.low[i];
#endif
    }
    const X16Block& block;
#if !defined(QM_BYTE_PRODUCTS)
    std::int16_t high[256], low[256];  // products of 16-bit integers are what vector units add up well
#endif
};

template <class Format>
QM_FN void prepare(const std::uint8_t* data, Operand& w) {
    Format::unpack(data, w.block);
#if !defined(QM_BYTE_PRODUCTS)
    for (int j = 0; j < 16; j++)
        for (int l = 0; l < 16; l++)
            w.folded[16 * j + l] = narrow((w.block.q[16 * j + l] - Format::kBias) * w.block.scale[j]);
#endif
}

#if defined(QM_BYTE_PRODUCTS)

QM_FN __m256i halve(__m512i x) { return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1)); }

// [h0 l0 h1 l1 ...] added up to h and l.
QM_FN Sums reduce(__m256i high, __m256i low) {
    const __m256i half = _mm256_add_epi32(_mm256_unpacklo_epi32(high, low), _mm256_unpackhi_epi32(high, low));
    const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i both = _mm_add_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
    return {_mm_cvtsi128_si32(both), _mm_extract_epi32(both, 1)};
}

QM_FN __m512i widen(const std::int16_t* p) {
    return _mm512_cvtepi16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}

// Four values of a sub-block of 16 meet in a lane: 64 values are four lanes each of four sub-blocks.
template <class Format>
QM_FN Sums block_sums(const Operand& w, const Digits& digits) {
    const X16Block& x = digits.block;
    const __m512i scales = widen(w.block.scale);
    __m512i high = _mm512_setzero_si512(), low = _mm512_setzero_si512();
    for (int c = 0; c < 4; c++) {
        const __m512i q = _mm512_load_si512(w.block.q + 64 * c);
        const __m512i h = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, _mm512_load_si512(x.high + 64 * c));
        const __m512i l = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, _mm512_load_si512(x.low + 64 * c));
        const __m512i lanes = _mm512_add_epi32(_mm512_set1_epi32(4 * c),
                                               _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
        const __m512i scale = _mm512_permutexvar_epi32(lanes, scales);
        high = _mm512_add_epi32(high, _mm512_mullo_epi32(scale, h));
        low = _mm512_add_epi32(low, _mm512_mullo_epi32(scale, l));
    }
    if constexpr (Format::kBias != 0) {
        const __m512i bias = _mm512_mullo_epi32(scales, _mm512_set1_epi32(Format::kBias));
        const __m512i sums_high = _mm512_load_si512(x.sums_high);
        const __m512i sums_low = _mm512_sub_epi32(_mm512_load_si512(x.sums), _mm512_slli_epi32(sums_high, 8));
        high = _mm512_sub_epi32(high, _mm512_mullo_epi32(bias, sums_high));
        low = _mm512_sub_epi32(low, _mm512_mullo_epi32(bias, sums_low));
    }
    return reduce(halve(high), halve(low));
}

// One group of 32 of a type with a float scale.
template <class Format>
QM_FN Sums group_sums(const Block& b, const X16Block& x, std::uint32_t group) {
    const auto load = [group](const auto* p) {
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(p + 32 * group));
    };
    const __m256i q = _mm256_load_si256(reinterpret_cast<const __m256i*>(b.q));
    Sums sums = reduce(_mm256_dpbusd_epi32(_mm256_setzero_si256(), q, load(x.high)),
                       _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, load(x.low)));
    const std::int32_t sum_high = x.sums_high[2 * group] + x.sums_high[2 * group + 1];
    sums.high -= Format::kBias * sum_high;
    sums.low -= Format::kBias * (x.sums32[group] - 256 * sum_high);
    return sums;
}

QM_FN std::int32_t minimum_sum(const Operand& w, const X16Block& x) {
    return _mm512_reduce_add_epi32(_mm512_mullo_epi32(widen(w.block.minimum), _mm512_load_si512(x.sums)));
}

#else

// One group of 32 of a type with a float scale.
template <class Format>
QM_FN Sums group_sums(const Block& b, const X16Block& x, std::uint32_t group) {
    Sums sums{0, 0};
    for (std::uint32_t i = 0; i < 32; i++) {
        sums.high += (b.q[i] - Format::kBias) * x.high[32 * group + i];
        sums.low += (b.q[i] - Format::kBias) * x.low[32 * group + i];
    }
    return sums;
}

template <class Format>
QM_FN Sums block_sums(const Operand& w, const Digits& x) {
    Sums sums{0, 0};
    for (int i = 0; i < 256; i++) sums.high += std::int32_t(w.folded[i]) * std::int32_t(x.high[i]);
    for (int i = 0; i < 256; i++) sums.low += std::int32_t(w.folded[i]) * std::int32_t(x.low[i]);
    return sums;
}

QM_FN std::int32_t minimum_sum(const Operand& w, const X16Block& x) {
    std::int32_t sum = 0;
    for (int j = 0; j < 16; j++) sum += std::int32_t(w.block.minimum[j]) * x.sums[j];
    return sum;
}

#endif

}  // namespace qwen3moe::cpu::QM_SIMD
