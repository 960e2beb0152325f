// The arithmetic: every float operation on the result path, written once for C++, CUDA and GLSL.
//
// Rules (contracts/arithmetic-v1.yaml is normative):
//   - f32 add, subtract, multiply, compare, int -> float and bit casts only, each rounded to nearest even on its own.
//   - No fma: C++ is built with -ffp-contract=off, CUDA with --fmad=false, GLSL marks every result `precise`.
//   - GLSL fuses across `return a * b + c`, so a function assigns to a QM_EXACT local and returns only that local.
//   - Long sums are integer sums, exact in any order; float sums are short and their order is part of the definition.
// Loops and loads belong to the back ends; they call these functions for every float operation they need.
#ifndef QWEN3MOE_SHARED_ARITHMETIC_H
#define QWEN3MOE_SHARED_ARITHMETIC_H

#if defined(__cplusplus)
#include <bit>
#include <cstdint>
#if defined(__CUDACC__)
#define QM_FN static __host__ __device__ __forceinline__
#else
#define QM_FN [[maybe_unused]] static inline __attribute__((always_inline))
#endif
#define QM_EXACT
#define QM_CONST static constexpr
#define QM_NAMESPACE_BEGIN namespace qwen3moe {
#define QM_NAMESPACE_END }
namespace qwen3moe {
using uint = std::uint32_t;
}
#else
#define QM_FN
#define QM_EXACT precise
#define QM_CONST const
#define QM_NAMESPACE_BEGIN
#define QM_NAMESPACE_END
#endif

QM_NAMESPACE_BEGIN

// ---- bits

QM_FN uint qm_bits(float x) {
#if defined(__CUDA_ARCH__)
    return __float_as_uint(x);
#elif defined(__cplusplus)
    return std::bit_cast<uint>(x);
#else
    return floatBitsToUint(x);
#endif
}

QM_FN float qm_from_bits(uint bits) {
#if defined(__CUDA_ARCH__)
    return __uint_as_float(bits);
#elif defined(__cplusplus)
    return std::bit_cast<float>(bits);
#else
    return uintBitsToFloat(bits);
#endif
}

// |x| as bits: for floats that are not NaN its order as an integer is their order, and NaN is above them all.
QM_FN uint qm_abs_bits(float x) { return qm_bits(x) & 0x7fffffffu; }

QM_CONST uint QM_INFINITY_BITS = 0x7f800000u;
QM_CONST uint QM_NAN_BITS = 0x7fc00000u;

// ---- the three operations, each rounded on its own

QM_FN float qm_add(float a, float b) {
    QM_EXACT float r = a + b;
    return r;
}
QM_FN float qm_sub(float a, float b) {
    QM_EXACT float r = a - b;
    return r;
}
QM_FN float qm_mul(float a, float b) {
    QM_EXACT float r = a * b;
    return r;
}
// Two roundings, never one.
QM_FN float qm_mul_add(float a, float b, float c) { return qm_add(qm_mul(a, b), c); }

QM_FN float qm_max(float a, float b) { return a > b ? a : b; }

// Zero for a value so small that a later product could leave the normal range: flush modes cannot matter after it.
QM_CONST uint QM_SETTLE_BITS = 0x0d800000u;  // 2^-100
QM_FN float qm_settle(float x) { return qm_abs_bits(x) < QM_SETTLE_BITS ? 0.0f : x; }

// ---- sums in the fixed order: halving trees, (first half) + (second half)

QM_FN float qm_sum4(float a, float b, float c, float d) { return qm_add(qm_add(a, c), qm_add(b, d)); }
QM_FN float qm_sum8(float a, float b, float c, float d, float e, float f, float g, float h) {
    return qm_sum4(qm_add(a, e), qm_add(b, f), qm_add(c, g), qm_add(d, h));
}

// ---- rounding and conversion

// x + 1.5 * 2^23 leaves the nearest integer (ties to even) in the low bits of the sum, for |x| <= 2^22.
QM_CONST float QM_ROUND_MAGIC = 12582912.0f;
QM_FN int qm_round(float x) { return int(qm_bits(qm_add(x, QM_ROUND_MAGIC)) - 0x4b400000u); }

// Half to float. A subnormal half is an integer times 2^-24, which is exact and never a subnormal float.
QM_FN float qm_half(uint h) {
    uint sign = (h & 0x8000u) << 16;
    uint exponent = (h >> 10) & 31u;
    uint fraction = h & 1023u;
    uint small = qm_bits(qm_mul(float(int(fraction)), 5.9604644775390625e-8f));
    uint normal = ((exponent + 112u) << 23) | (fraction << 13);
    uint special = QM_INFINITY_BITS | (fraction << 13);
    uint magnitude = exponent == 0u ? small : (exponent == 31u ? special : normal);
    return qm_from_bits(sign | magnitude);
}

QM_FN float qm_bfloat(uint b) { return qm_from_bits(b << 16); }

// Float to half, to nearest even, by integers alone: overflow to infinity, NaN to a quiet NaN of the same sign.
QM_FN uint qm_to_half(float x) {
    uint sign = (qm_bits(x) >> 16) & 0x8000u;
    uint a = qm_abs_bits(x);
    // Normal halves: rebias, then round off 13 bits; a carry moves into the exponent as it should.
    uint normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    // Subnormal halves: count units of 2^-24, rounding off `shift` bits of the significand.
    uint shift = a >= 0x33000000u && a < 0x38800000u ? 126u - (a >> 23) : 24u;
    uint significand = (a & 0x7fffffu) | 0x800000u;
    uint low = significand & ((1u << shift) - 1u);
    uint half_unit = 1u << (shift - 1u);
    uint kept = significand >> shift;
    uint small = a < 0x33000000u ? 0u : kept + ((low > half_unit || (low == half_unit && (kept & 1u) != 0u)) ? 1u : 0u);
    uint magnitude =
        a > QM_INFINITY_BITS ? 0x7e00u : (a >= 0x477ff000u ? 0x7c00u : (a >= 0x38800000u ? normal : small));
    return sign | magnitude;
}

// ---- functions

// 1 / a for 2^-100 <= a <= 2^100: a guess from the exponent, then four Newton steps.
QM_FN float qm_recip(float a) {
    float r = qm_from_bits(0x7ef311c7u - qm_bits(a));
    r = qm_mul(r, qm_sub(2.0f, qm_mul(a, r)));
    r = qm_mul(r, qm_sub(2.0f, qm_mul(a, r)));
    r = qm_mul(r, qm_sub(2.0f, qm_mul(a, r)));
    r = qm_mul_add(r, qm_sub(1.0f, qm_mul(a, r)), r);
    return r;
}

// 1 / sqrt(a) for 2^-100 <= a <= 2^100.
QM_FN float qm_rsqrt(float a) {
    float h = qm_mul(0.5f, a);
    float r = qm_from_bits(0x5f375a86u - (qm_bits(a) >> 1));
    r = qm_mul(r, qm_sub(1.5f, qm_mul(qm_mul(h, r), r)));
    r = qm_mul(r, qm_sub(1.5f, qm_mul(qm_mul(h, r), r)));
    r = qm_mul(r, qm_sub(1.5f, qm_mul(qm_mul(h, r), r)));
    r = qm_mul_add(r, qm_sub(0.5f, qm_mul(qm_mul(h, r), r)), r);
    return r;
}

// e^x: exactly 0 below -64 (a softmax does not see 1e-28), clamped at 88 above, 1 at 0.
QM_CONST float QM_EXP_FLOOR = -64.0f;
QM_FN float qm_exp(float x) {
    float c = x > 88.0f ? 88.0f : (x < QM_EXP_FLOOR ? QM_EXP_FLOOR : x);
    float shifted = qm_mul_add(c, 1.44269504f, QM_ROUND_MAGIC);  // n = round(c / ln 2) in its low bits
    float n = qm_sub(shifted, QM_ROUND_MAGIC);
    // ln 2 in two parts, the first short enough for n times it to be exact.
    float r = qm_sub(c, qm_mul(n, 0.693359375f));
    r = qm_sub(r, qm_mul(n, -2.12194440e-4f));
    // (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2
    float p = 1.9875691500e-4f;
    p = qm_mul_add(p, r, 1.3981999507e-3f);
    p = qm_mul_add(p, r, 8.3334519073e-3f);
    p = qm_mul_add(p, r, 4.1665795894e-2f);
    p = qm_mul_add(p, r, 1.6666665459e-1f);
    p = qm_mul_add(p, r, 5.0000001201e-1f);
    float y = qm_add(qm_add(qm_mul(p, qm_mul(r, r)), r), 1.0f);
    // Scaling by a multiplication keeps a NaN a NaN.
    float scale = qm_from_bits((qm_bits(shifted) - 0x4b400000u + 127u) << 23);
    float result = qm_mul(y, scale);
    return x < QM_EXP_FLOOR ? 0.0f : result;
}

QM_FN float qm_sigmoid(float x) {
    float e = qm_exp(qm_from_bits(qm_bits(x) | 0x80000000u));  // e^-|x|
    float r = qm_recip(qm_add(1.0f, e));
    return qm_bits(x) < 0x80000000u ? r : qm_mul(e, r);
}

QM_FN float qm_silu(float x) { return qm_mul(x, qm_sigmoid(x)); }
QM_FN float qm_swiglu(float gate, float up) { return qm_mul(qm_silu(gate), up); }

// ---- X16: a block of values as 16-bit integers with one scale, each the two int8 digits X = 256 * high + low
// A block whose largest magnitude is under 2^-60 is all zero. One that holds NaN, infinity or more than 2^100 gets a
// NaN for its scale, so that what depends on it is NaN on every device.

QM_CONST int QM_X16_MAX = 32512;                // 127 * 256: the most whose digits are both int8
QM_CONST uint QM_X16_FLOOR_BITS = 0x21800000u;  // 2^-60
QM_CONST uint QM_X16_LIMIT_BITS = 0x71800000u;  // 2^100

// amax_bits: the largest qm_abs_bits of the block.
QM_FN float qm_x16_scale(uint amax_bits) {
    float scale = qm_mul(qm_from_bits(amax_bits), 3.07578740157480315e-5f);  // 1 / 32512
    return amax_bits < QM_X16_FLOOR_BITS ? 0.0f : (amax_bits > QM_X16_LIMIT_BITS ? qm_from_bits(QM_NAN_BITS) : scale);
}
QM_FN float qm_x16_inverse(uint amax_bits) {
    bool usable = amax_bits >= QM_X16_FLOOR_BITS && amax_bits <= QM_X16_LIMIT_BITS;
    float inverse = qm_mul(qm_recip(qm_from_bits(usable ? amax_bits : 0x3f800000u)), 32512.0f);
    return usable ? inverse : 0.0f;
}
QM_FN int qm_x16(float x, float inverse) {
    int q = qm_round(qm_mul(x, inverse));
    int bounded = q > QM_X16_MAX ? QM_X16_MAX : (q < -QM_X16_MAX ? -QM_X16_MAX : q);
    return inverse == 0.0f ? 0 : bounded;
}
// high in [-127, 127], low in [-128, 127]
QM_FN int qm_x16_high(int q) { return (q + 128) >> 8; }
QM_FN int qm_x16_low(int q) { return q - 256 * qm_x16_high(q); }

// ---- integer products: each digit of X has an exact int32 sum of its own, and the two become one float here

QM_FN float qm_digits(int high, int low) { return qm_add(qm_mul(float(high), 256.0f), float(low)); }

// What one block of 256 weights adds to its row. high, low: sums of scale * q * digit over the block;
// M: the sum of min_j * (sum of X in sub-block j).
QM_FN float qm_term(float d, float dx, int high, int low) { return qm_mul(qm_mul(d, dx), qm_digits(high, low)); }
QM_FN float qm_term_min(float d, float dmin, float dx, int high, int low, int M) {
    return qm_sub(qm_term(d, dx, high, low), qm_mul(qm_mul(dmin, dx), float(M)));
}
// Types with a float scale for every 32 values: a group's float, of which eight, summed by qm_sum8, make a term.
QM_FN float qm_group(float d, int high, int low) { return qm_mul(d, qm_digits(high, low)); }
QM_FN float qm_group_min(float d, float m, int high, int low, int sum) {
    return qm_add(qm_group(d, high, low), qm_mul(m, float(sum)));
}
QM_FN float qm_term32(float dx, float groups) { return qm_mul(dx, groups); }

// One weight as a float, for embeddings: q * scale, and less or plus its minimum.
QM_FN float qm_weight(float d, int scale, int q) { return qm_mul(qm_mul(d, float(scale)), float(q)); }
QM_FN float qm_weight_min(float d, int scale, int q, float dmin, int minimum) {
    return qm_sub(qm_weight(d, scale, q), qm_mul(dmin, float(minimum)));
}

// ---- normalisation and positions

QM_FN float qm_norm_factor(float sum_of_squares, float inverse_width, float eps) {
    return qm_rsqrt(qm_add(qm_mul(sum_of_squares, inverse_width), eps));
}
QM_FN float qm_norm(float x, float factor, float weight) { return qm_mul(qm_mul(x, factor), weight); }

// Rotate-half: element i of the first half and its partner in the second.
QM_FN float qm_rope_first(float a, float b, float c, float s) { return qm_sub(qm_mul(a, c), qm_mul(b, s)); }
QM_FN float qm_rope_second(float a, float b, float c, float s) { return qm_add(qm_mul(b, c), qm_mul(a, s)); }

// ---- attention: keys in blocks of 256, merged left to right

QM_CONST float QM_SCORE_FLOOR = -1.0e30f;  // the running maximum before the first block

// dq already holds the 1 / sqrt(head_dim); high, low: sums over the head of K times a digit of Q.
QM_FN float qm_score(float dq, float dk, int high, int low) { return qm_mul(qm_mul(dq, dk), qm_digits(high, low)); }
QM_FN float qm_probability(float score, float maximum) { return qm_exp(qm_sub(score, maximum)); }
// One dimension of a block's P.V: high, low: sums over its keys of V times a digit of the quantised p * dv.
QM_FN float qm_block_value(float dp, int high, int low) { return qm_mul(dp, qm_digits(high, low)); }
// Running value and the block's, each brought to the common maximum by its own factor.
QM_FN float qm_merge(float running, float keep, float block, float gain) {
    return qm_add(qm_settle(qm_mul(running, keep)), qm_settle(qm_mul(block, gain)));
}

// ---- experts are taken in falling order of probability, lower index first: the largest key is the next expert
// A probability is never negative, so its bits order as integers; NaN becomes 0 and the choice stays well defined.
QM_FN uint qm_rank_key(float probability) {
    return qm_bits(probability) > QM_INFINITY_BITS ? 0u : qm_bits(probability);
}

QM_NAMESPACE_END

#endif
