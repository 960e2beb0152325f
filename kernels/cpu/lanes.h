// Vectors of 32-bit lanes, every lane a row of weights of its own: sums then need no reduction, and the float tail of a
// block is done for all rows at once. Defines QM_LANES where the instruction set has what this needs.
#pragma once

#include "cpu/unpack.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define QM_LANES
#elif defined(__AVX2__)
#include <immintrin.h>
#define QM_LANES
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define QM_LANES
#endif

#if defined(QM_LANES)

namespace qwen3moe::cpu::QM_SIMD {

QM_FN std::int32_t four_digits(const std::int8_t* x) {
    return static_cast<std::int32_t>(load32(reinterpret_cast<const std::uint8_t*>(x)));
}

// Of each vector type:
//   transpose   words[i] = in lane r the four bytes at p + r * stride + 4 * i
//   dot4        adds, in each lane, four unsigned bytes of q times four digits
//   scaled      total + scale * sum; a scale is what `spread` made of an int32 in every lane
//   kSumLimit   what a sum of dot4 may reach before it has to be scaled; 0: int32 is room enough
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

using Lanes = __m512i;
inline constexpr std::uint32_t kLanes = 16;
inline constexpr int kTokensAtOnce = 6;  // two sums and two totals of each are in registers
inline constexpr int kSumLimit = 0;

QM_FN Lanes load(const void* p) { return _mm512_load_si512(p); }
QM_FN void store(void* p, Lanes v) { _mm512_store_si512(p, v); }
QM_FN Lanes splat(std::int32_t x) { return _mm512_set1_epi32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return _mm512_add_epi32(a, b); }
QM_FN Lanes multiply(Lanes a, Lanes b) { return _mm512_mullo_epi32(a, b); }
QM_FN Lanes both(Lanes a, Lanes b) { return _mm512_and_si512(a, b); }
QM_FN Lanes either(Lanes a, Lanes b) { return _mm512_or_si512(a, b); }
template <int kBits>
QM_FN Lanes right(Lanes v) {
    return _mm512_srli_epi32(v, kBits);
}
template <int kBits>
QM_FN Lanes left(Lanes v) {
    return _mm512_slli_epi32(v, kBits);
}
QM_FN Lanes sign_of_byte(Lanes v) { return _mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return scale; }
QM_FN Lanes dot4(Lanes sum, Lanes q, const std::int8_t* x) {
    return _mm512_dpbusd_epi32(sum, q, splat(four_digits(x)));
}
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return add(total, multiply(scale, sum)); }

// Rows r, r + 4, r + 8 and r + 12 side by side.
QM_FN Lanes four_rows(const std::uint8_t* p, std::size_t stride) {
    const auto row = [p, stride](std::size_t i) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4 * i * stride));
    };
    const Lanes two = _mm512_inserti32x4(_mm512_castsi128_si512(row(0)), row(1), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(two, row(2), 2), row(3), 3);
}

QM_FN void transpose(const std::uint8_t* p, std::size_t stride, Lanes* words) {
    const Lanes a = four_rows(p, stride), b = four_rows(p + stride, stride);
    const Lanes c = four_rows(p + 2 * stride, stride), d = four_rows(p + 3 * stride, stride);
    const Lanes ab = _mm512_unpacklo_epi32(a, b), AB = _mm512_unpackhi_epi32(a, b);
    const Lanes cd = _mm512_unpacklo_epi32(c, d), CD = _mm512_unpackhi_epi32(c, d);
    words[0] = _mm512_unpacklo_epi64(ab, cd), words[1] = _mm512_unpackhi_epi64(ab, cd);
    words[2] = _mm512_unpacklo_epi64(AB, CD), words[3] = _mm512_unpackhi_epi64(AB, CD);
}

#elif defined(__AVX2__)

using Lanes = __m256i;
inline constexpr std::uint32_t kLanes = 8;
inline constexpr int kTokensAtOnce = 3;
inline constexpr int kSumLimit = 32767;  // a lane's sum is two int16, which a scale's two halves multiply

QM_FN Lanes load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
QM_FN void store(void* p, Lanes v) { _mm256_store_si256(static_cast<__m256i*>(p), v); }
QM_FN Lanes splat(std::int32_t x) { return _mm256_set1_epi32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return _mm256_add_epi32(a, b); }
QM_FN Lanes multiply(Lanes a, Lanes b) { return _mm256_mullo_epi32(a, b); }
QM_FN Lanes both(Lanes a, Lanes b) { return _mm256_and_si256(a, b); }
QM_FN Lanes either(Lanes a, Lanes b) { return _mm256_or_si256(a, b); }
template <int kBits>
QM_FN Lanes right(Lanes v) {
    return _mm256_srli_epi32(v, kBits);
}
template <int kBits>
QM_FN Lanes left(Lanes v) {
    return _mm256_slli_epi32(v, kBits);
}
QM_FN Lanes sign_of_byte(Lanes v) { return _mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return _mm256_blend_epi16(scale, _mm256_slli_epi32(scale, 16), 0xaa); }
QM_FN Lanes dot4(Lanes sum, Lanes q, const std::int8_t* x) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(q, splat(four_digits(x))));
}
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return add(total, _mm256_madd_epi16(scale, sum)); }

// Rows r and r + 4 side by side.
QM_FN Lanes two_rows(const std::uint8_t* p, std::size_t stride) {
    const auto row = [p, stride](std::size_t i) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4 * i * stride));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(row(0)), row(1), 1);
}

QM_FN void transpose(const std::uint8_t* p, std::size_t stride, Lanes* words) {
    const Lanes a = two_rows(p, stride), b = two_rows(p + stride, stride);
    const Lanes c = two_rows(p + 2 * stride, stride), d = two_rows(p + 3 * stride, stride);
    const Lanes ab = _mm256_unpacklo_epi32(a, b), AB = _mm256_unpackhi_epi32(a, b);
    const Lanes cd = _mm256_unpacklo_epi32(c, d), CD = _mm256_unpackhi_epi32(c, d);
    words[0] = _mm256_unpacklo_epi64(ab, cd), words[1] = _mm256_unpackhi_epi64(ab, cd);
    words[2] = _mm256_unpacklo_epi64(AB, CD), words[3] = _mm256_unpackhi_epi64(AB, CD);
}

#else

using Lanes = int32x4_t;
inline constexpr std::uint32_t kLanes = 4;
inline constexpr int kTokensAtOnce = 6;
inline constexpr int kSumLimit = 0;

QM_FN Lanes load(const void* p) { return vld1q_s32(static_cast<const std::int32_t*>(p)); }
QM_FN void store(void* p, Lanes v) { vst1q_s32(static_cast<std::int32_t*>(p), v); }
QM_FN Lanes splat(std::int32_t x) { return vdupq_n_s32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return vaddq_s32(a, b); }
QM_FN Lanes multiply(Lanes a, Lanes b) { return vmulq_s32(a, b); }
QM_FN Lanes both(Lanes a, Lanes b) { return vandq_s32(a, b); }
QM_FN Lanes either(Lanes a, Lanes b) { return vorrq_s32(a, b); }
template <int kBits>
QM_FN Lanes right(Lanes v) {
    if constexpr (kBits == 0) return v;
    else return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(v), kBits));
}
template <int kBits>
QM_FN Lanes left(Lanes v) {
    return vshlq_n_s32(v, kBits);
}
QM_FN Lanes sign_of_byte(Lanes v) { return vshrq_n_s32(vshlq_n_s32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return scale; }
// q is under 128, so its bytes are signed as well.
QM_FN Lanes dot4(Lanes sum, Lanes q, const std::int8_t* x) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(q), vreinterpretq_s8_s32(splat(four_digits(x))));
}
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return vmlaq_s32(total, scale, sum); }

QM_FN void transpose(const std::uint8_t* p, std::size_t stride, Lanes* words) {
    const auto row = [p, stride](std::size_t i) { return vreinterpretq_s32_u8(vld1q_u8(p + i * stride)); };
    const int32x4x2_t ab = vtrnq_s32(row(0), row(1)), cd = vtrnq_s32(row(2), row(3));
    words[0] = vcombine_s32(vget_low_s32(ab.val[0]), vget_low_s32(cd.val[0]));
    words[1] = vcombine_s32(vget_low_s32(ab.val[1]), vget_low_s32(cd.val[1]));
    words[2] = vcombine_s32(vget_high_s32(ab.val[0]), vget_high_s32(cd.val[0]));
    words[3] = vcombine_s32(vget_high_s32(ab.val[1]), vget_high_s32(cd.val[1]));
}

#endif

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
