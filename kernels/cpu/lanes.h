// Vectors of 32-bit lanes, each of which belongs to a row of weights, or to a block of one: sums then need no
// reduction, and the float tail of a block is done for all lanes at once. QM_LANES is their number, defined where the
// instruction set has what this needs.
#pragma once

#include "cpu/unpack.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define QM_LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define QM_LANES 8
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define QM_LANES 4
#endif

#if defined(QM_LANES)

namespace qwen3moe::cpu::QM_SIMD {

inline constexpr std::uint32_t kLanes = QM_LANES;

// Where kLanes rows lie: four bases and small multiples of the stride make addresses that processors take as they are.
struct RowBases {
    RowBases(const std::uint8_t* p, std::size_t row_bytes) : stride(row_bytes), thrice(3 * row_bytes) {
        for (std::uint32_t i = 0; i < kLanes / 4; i++) base[i] = p + 4 * i * row_bytes;
        // Not to be known beyond the block, or compilers keep its sums with every offset, more than there are
        // registers.
        __asm__("" : "+r"(stride), "+r"(thrice));
    }

    const std::uint8_t* row(int r) const {
        return base[r / 4] + (r % 4 == 3 ? thrice : static_cast<std::size_t>(r % 4) * stride);
    }

    const std::uint8_t* base[kLanes / 4];
    std::size_t stride, thrice;
};

// Blocks that follow each other, one for each lane.
struct Consecutive {
    const std::uint8_t* row(int r) const { return first + r * bytes; }
    const std::uint8_t* first;
    int bytes;
};

// Of each vector type:
//   transpose   words[i] = in lane r the four bytes at row(r) + `offset` + 4 * i
//   dot4        adds, in each lane, four unsigned bytes of q times four digits
//   dot2        adds, in each lane, the products of two int16 of a and of b
//   scaled      total + scale * sum; a scale is what `spread` made of an int32 in every lane
//   kSumLimit   what a sum of dot4 may reach before it has to be scaled; 0: int32 is room enough
#if QM_LANES == 16

using Lanes = __m512i;
inline constexpr int kTilesAtOnce = 2, kTokensAtOnce = 3;  // two sums and two totals of each are in registers
inline constexpr int kSumLimit = 0;

QM_FN Lanes load(const void* p) { return _mm512_load_si512(p); }
QM_FN void store(void* p, Lanes v) { _mm512_store_si512(p, v); }
QM_FN Lanes splat(std::int32_t x) { return _mm512_set1_epi32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return _mm512_add_epi32(a, b); }
QM_FN Lanes subtract(Lanes a, Lanes b) { return _mm512_sub_epi32(a, b); }
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
QM_FN Lanes right(Lanes v, int n) { return _mm512_srl_epi32(v, _mm_cvtsi32_si128(n)); }
QM_FN Lanes sign_of_byte(Lanes v) { return _mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return scale; }
QM_FN Lanes dot4(Lanes sum, Lanes q, Lanes digits) { return _mm512_dpbusd_epi32(sum, q, digits); }
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return add(total, multiply(scale, sum)); }
QM_FN Lanes dot2(Lanes sum, Lanes a, Lanes b) { return _mm512_dpwssd_epi32(sum, a, b); }

// Rows r, r + 4, r + 8 and r + 12 side by side.
template <class Rows>
QM_FN Lanes four_rows(const Rows& rows, int r, int offset) {
    const auto load16 = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.row(i) + offset)); };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(r)), load16(r + 4), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(r + 8)), load16(r + 12), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

template <class Rows>
QM_FN void transpose(const Rows& rows, int offset, Lanes* words) {
    const Lanes a = four_rows(rows, 0, offset), b = four_rows(rows, 1, offset);
    const Lanes c = four_rows(rows, 2, offset), d = four_rows(rows, 3, offset);
    const Lanes ab = _mm512_unpacklo_epi32(a, b), AB = _mm512_unpackhi_epi32(a, b);
    const Lanes cd = _mm512_unpacklo_epi32(c, d), CD = _mm512_unpackhi_epi32(c, d);
    words[0] = _mm512_unpacklo_epi64(ab, cd), words[1] = _mm512_unpackhi_epi64(ab, cd);
    words[2] = _mm512_unpacklo_epi64(AB, CD), words[3] = _mm512_unpackhi_epi64(AB, CD);
}

#elif QM_LANES == 8

using Lanes = __m256i;
inline constexpr int kTilesAtOnce = 1, kTokensAtOnce = 3;
inline constexpr int kSumLimit = 32767;  // a lane's sum is two int16, which a scale's two halves multiply

QM_FN Lanes load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
QM_FN void store(void* p, Lanes v) { _mm256_store_si256(static_cast<__m256i*>(p), v); }
QM_FN Lanes splat(std::int32_t x) { return _mm256_set1_epi32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return _mm256_add_epi32(a, b); }
QM_FN Lanes subtract(Lanes a, Lanes b) { return _mm256_sub_epi32(a, b); }
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
QM_FN Lanes right(Lanes v, int n) { return _mm256_srl_epi32(v, _mm_cvtsi32_si128(n)); }
QM_FN Lanes sign_of_byte(Lanes v) { return _mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return _mm256_blend_epi16(scale, _mm256_slli_epi32(scale, 16), 0xaa); }
QM_FN Lanes dot4(Lanes sum, Lanes q, Lanes digits) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(q, digits)); }
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return add(total, _mm256_madd_epi16(scale, sum)); }
QM_FN Lanes dot2(Lanes sum, Lanes a, Lanes b) { return add(sum, _mm256_madd_epi16(a, b)); }

// Rows r and r + 4 side by side.
template <class Rows>
QM_FN Lanes two_rows(const Rows& rows, int r, int offset) {
    const auto load16 = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.row(i) + offset)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(r)), load16(r + 4), 1);
}

template <class Rows>
QM_FN void transpose(const Rows& rows, int offset, Lanes* words) {
    const Lanes a = two_rows(rows, 0, offset), b = two_rows(rows, 1, offset);
    const Lanes c = two_rows(rows, 2, offset), d = two_rows(rows, 3, offset);
    const Lanes ab = _mm256_unpacklo_epi32(a, b), AB = _mm256_unpackhi_epi32(a, b);
    const Lanes cd = _mm256_unpacklo_epi32(c, d), CD = _mm256_unpackhi_epi32(c, d);
    words[0] = _mm256_unpacklo_epi64(ab, cd), words[1] = _mm256_unpackhi_epi64(ab, cd);
    words[2] = _mm256_unpacklo_epi64(AB, CD), words[3] = _mm256_unpackhi_epi64(AB, CD);
}

#else

using Lanes = int32x4_t;
inline constexpr int kTilesAtOnce = 2, kTokensAtOnce = 3;
inline constexpr int kSumLimit = 0;

QM_FN Lanes load(const void* p) { return vld1q_s32(static_cast<const std::int32_t*>(p)); }
QM_FN void store(void* p, Lanes v) { vst1q_s32(static_cast<std::int32_t*>(p), v); }
QM_FN Lanes splat(std::int32_t x) { return vdupq_n_s32(x); }
QM_FN Lanes add(Lanes a, Lanes b) { return vaddq_s32(a, b); }
QM_FN Lanes subtract(Lanes a, Lanes b) { return vsubq_s32(a, b); }
QM_FN Lanes multiply(Lanes a, Lanes b) { return vmulq_s32(a, b); }
QM_FN Lanes both(Lanes a, Lanes b) { return vandq_s32(a, b); }
QM_FN Lanes either(Lanes a, Lanes b) { return vorrq_s32(a, b); }
template <int kBits>
QM_FN Lanes right(Lanes v) {
    if constexpr (kBits == 0)
        return v;
    else
        return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(v), kBits));
}
template <int kBits>
QM_FN Lanes left(Lanes v) {
    return vshlq_n_s32(v, kBits);
}
QM_FN Lanes right(Lanes v, int n) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-n)));
}
QM_FN Lanes sign_of_byte(Lanes v) { return vshrq_n_s32(vshlq_n_s32(v, 24), 24); }
QM_FN Lanes spread(Lanes scale) { return scale; }
// q is under 128, so its bytes are signed as well.
QM_FN Lanes dot4(Lanes sum, Lanes q, Lanes digits) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(q), vreinterpretq_s8_s32(digits));
}
QM_FN Lanes scaled(Lanes total, Lanes scale, Lanes sum) { return vmlaq_s32(total, scale, sum); }
QM_FN Lanes dot2(Lanes sum, Lanes a, Lanes b) {
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return add(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}

template <class Rows>
QM_FN void transpose(const Rows& rows, int offset, Lanes* words) {
    const auto row = [&](int i) { return vreinterpretq_s32_u8(vld1q_u8(rows.row(i) + offset)); };
    const int32x4x2_t ab = vtrnq_s32(row(0), row(1)), cd = vtrnq_s32(row(2), row(3));
    words[0] = vcombine_s32(vget_low_s32(ab.val[0]), vget_low_s32(cd.val[0]));
    words[1] = vcombine_s32(vget_low_s32(ab.val[1]), vget_low_s32(cd.val[1]));
    words[2] = vcombine_s32(vget_high_s32(ab.val[0]), vget_high_s32(cd.val[0]));
    words[3] = vcombine_s32(vget_high_s32(ab.val[1]), vget_high_s32(cd.val[1]));
}

#endif

// The four bytes at p in every lane.
QM_FN Lanes splat_at(const void* p) {
    std::int32_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return splat(x);
}

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
