// Every function of the arithmetic by number, so that any device can be asked for any of them: arguments and result as
// bits. The self-test, the golden vectors of the contract and the runs over all 2^32 inputs go through here.
#ifndef QWEN3MOE_SHARED_FUNCTIONS_H
#define QWEN3MOE_SHARED_FUNCTIONS_H

#include "blocks.h"

QM_NAMESPACE_BEGIN

struct QmArguments {
    uint a, b, c, d, e, f, g, h;
};

// Kinds of arguments: where the self-test draws them from. Products of two or three stay clear of denormals.
// The first six have edge cases too.
QM_CONST uint QM_FLOAT = 1u;     // any sign, 2^-20 to 2^21, infinities, NaN
QM_CONST uint QM_LOG = 2u;       // any sign, under 128, finite
QM_CONST uint QM_POSITIVE = 3u;  // 2^-100 to 2^100
QM_CONST uint QM_WORD = 4u;      // any bits
QM_CONST uint QM_INT = 5u;       // any int32
QM_CONST uint QM_X16 = 6u;       // -32512 to 32512
QM_CONST uint QM_SCALE = 7u;     // 2^-30 to 2
QM_CONST uint QM_GAIN = 8u;      // 1 to 512
QM_CONST uint QM_BYTE = 9u;      // -128 to 127
#define QM_KINDS(a, b, c, d) (a | (b << 4) | (c << 8) | (d << 12))

// X(number, name, kinds of the arguments from the lowest four bits up, result). In a result a .. h are the arguments
// as floats, x.a .. x.h their bits. Functions of one argument come first.
// clang-format off
#define QM_UNARY_FUNCTIONS(X)                                                                             \
    X(0u, exp, QM_LOG, qm_result(qm_exp(a)))                                                              \
    X(1u, recip, QM_POSITIVE, qm_result(qm_recip(a)))                                                     \
    X(2u, rsqrt, QM_POSITIVE, qm_result(qm_rsqrt(a)))                                                     \
    X(3u, sigmoid, QM_LOG, qm_result(qm_sigmoid(a)))                                                      \
    X(4u, silu, QM_LOG, qm_result(qm_silu(a)))                                                            \
    X(5u, half, QM_WORD, qm_result(qm_half(x.a & 0xffffu)))                                               \
    X(6u, bfloat, QM_WORD, qm_result(qm_bfloat(x.a & 0xffffu)))                                           \
    X(7u, to_half, QM_WORD, qm_to_half(a))                                                                \
    X(8u, round, QM_LOG, uint(qm_round(a)))                                                               \
    X(9u, settle, QM_WORD, qm_result(qm_settle(a)))                                                       \
    X(10u, x16_scale, QM_WORD, qm_result(qm_x16_scale(x.a & 0x7fffffffu)))                                \
    X(11u, x16_inverse, QM_WORD, qm_result(qm_x16_inverse(x.a & 0x7fffffffu)))                            \
    X(12u, x16_high, QM_X16, uint(qm_x16_high(int(x.a))))                                                 \
    X(13u, x16_low, QM_X16, uint(qm_x16_low(int(x.a))))                                                   \
    X(14u, iq4_value, QM_WORD, uint(qm_iq4_value(x.a & 15u)))                                             \
    X(15u, rank_key, QM_WORD, qm_rank_key(a))
#define QM_OTHER_FUNCTIONS(X)                                                                             \
    X(16u, add, QM_KINDS(QM_FLOAT, QM_FLOAT, 0u, 0u), qm_result(qm_add(a, b)))                            \
    X(17u, sub, QM_KINDS(QM_FLOAT, QM_FLOAT, 0u, 0u), qm_result(qm_sub(a, b)))                            \
    X(18u, mul, QM_KINDS(QM_FLOAT, QM_FLOAT, 0u, 0u), qm_result(qm_mul(a, b)))                            \
    X(19u, mul_add, QM_KINDS(QM_FLOAT, QM_FLOAT, QM_FLOAT, 0u), qm_result(qm_mul_add(a, b, c)))           \
    X(20u, max, QM_KINDS(QM_FLOAT, QM_FLOAT, 0u, 0u), qm_result(qm_max(a, b)))                            \
    X(21u, sum4, 0x1111u, qm_result(qm_sum4(a, b, c, d)))                                                 \
    X(22u, sum8, 0x11111111u, qm_result(qm_sum8(a, b, c, d, e, f, g, h)))                                 \
    X(23u, swiglu, QM_KINDS(QM_LOG, QM_FLOAT, 0u, 0u), qm_result(qm_swiglu(a, b)))                        \
    X(24u, x16, QM_KINDS(QM_LOG, QM_GAIN, 0u, 0u), uint(qm_x16(a, b)))                                    \
    X(25u, digits, QM_KINDS(QM_INT, QM_INT, 0u, 0u), qm_result(qm_digits(int(x.a), int(x.b))))            \
    X(26u, term, QM_KINDS(QM_SCALE, QM_SCALE, QM_INT, QM_INT),                                            \
      qm_result(qm_term(a, b, int(x.c), int(x.d))))                                                       \
    X(27u, term_min, QM_KINDS(QM_SCALE, QM_SCALE, QM_SCALE, QM_INT) | (QM_INT << 16) | (QM_INT << 20),    \
      qm_result(qm_term_min(a, b, c, int(x.d), int(x.e), int(x.f))))                                      \
    X(28u, group, QM_KINDS(QM_SCALE, QM_INT, QM_INT, 0u), qm_result(qm_group(a, int(x.b), int(x.c))))     \
    X(29u, group_min, QM_KINDS(QM_SCALE, QM_FLOAT, QM_INT, QM_INT) | (QM_INT << 16),                      \
      qm_result(qm_group_min(a, b, int(x.c), int(x.d), int(x.e))))                                        \
    X(30u, term32, QM_KINDS(QM_SCALE, QM_FLOAT, 0u, 0u), qm_result(qm_term32(a, b)))                      \
    X(31u, weight, QM_KINDS(QM_SCALE, QM_BYTE, QM_BYTE, 0u), qm_result(qm_weight(a, int(x.b), int(x.c)))) \
    X(32u, weight_min, QM_KINDS(QM_SCALE, QM_BYTE, QM_BYTE, QM_SCALE) | (QM_BYTE << 16),                  \
      qm_result(qm_weight_min(a, int(x.b), int(x.c), d, int(x.e))))                                       \
    X(33u, norm_factor, QM_KINDS(QM_GAIN, QM_SCALE, QM_SCALE, 0u), qm_result(qm_norm_factor(a, b, c)))    \
    X(34u, norm, QM_KINDS(QM_FLOAT, QM_SCALE, QM_FLOAT, 0u), qm_result(qm_norm(a, b, c)))                 \
    X(35u, rope_first, 0x1111u, qm_result(qm_rope_first(a, b, c, d)))                                     \
    X(36u, rope_second, 0x1111u, qm_result(qm_rope_second(a, b, c, d)))                                   \
    X(37u, score, QM_KINDS(QM_SCALE, QM_SCALE, QM_INT, QM_INT),                                           \
      qm_result(qm_score(a, b, int(x.c), int(x.d))))                                                      \
    X(38u, probability, QM_KINDS(QM_LOG, QM_LOG, 0u, 0u), qm_result(qm_probability(a, b)))                \
    X(39u, block_value, QM_KINDS(QM_SCALE, QM_INT, QM_INT, 0u),                                           \
      qm_result(qm_block_value(a, int(x.b), int(x.c))))                                                   \
    X(40u, merge, QM_KINDS(QM_POSITIVE, QM_SCALE, QM_POSITIVE, QM_SCALE),                                 \
      qm_result(qm_merge(a, b, c, d)))                                                                    \
    X(41u, k4_scale, QM_KINDS(QM_WORD, QM_WORD, QM_WORD, 0u), uint(qm_k4_scale(x.a, x.b, x.c & 7u)))      \
    X(42u, k4_min, QM_KINDS(QM_WORD, QM_WORD, QM_WORD, 0u), uint(qm_k4_min(x.a, x.b, x.c & 7u)))          \
    X(43u, q3k_scale, QM_KINDS(QM_WORD, QM_WORD, QM_WORD, QM_WORD),                                       \
      uint(qm_q3k_scale(x.a, x.b, x.c, x.d & 15u)))                                                       \
    X(44u, iq4xs_scale, QM_KINDS(QM_WORD, QM_WORD, QM_WORD, 0u), uint(qm_iq4xs_scale(x.a, x.b, x.c & 7u)))
// clang-format on

#define QM_ALL_FUNCTIONS(X) QM_UNARY_FUNCTIONS(X) QM_OTHER_FUNCTIONS(X)

QM_CONST uint QM_UNARY_COUNT = 16u;
QM_CONST uint QM_FUNCTION_COUNT = 45u;

// NaN has many bit patterns and devices differ in which they make: one of them stands for all.
QM_FN uint qm_result(float y) { return qm_abs_bits(y) > QM_INFINITY_BITS ? QM_NAN_BITS : qm_bits(y); }

QM_FN uint qm_call(uint number, QmArguments x) {
    float a = qm_from_bits(x.a);
    float b = qm_from_bits(x.b);
    float c = qm_from_bits(x.c);
    float d = qm_from_bits(x.d);
    float e = qm_from_bits(x.e);
    float f = qm_from_bits(x.f);
    float g = qm_from_bits(x.g);
    float h = qm_from_bits(x.h);
    switch (number) {
#define QM_CASE(number, name, kinds, result) \
    case number:                             \
        return result;
        QM_ALL_FUNCTIONS(QM_CASE)
#undef QM_CASE
        default:
            return 0u;
    }
}

QM_FN uint qm_kinds(uint number) {
    switch (number) {
#define QM_CASE(number, name, kinds, result) \
    case number:                             \
        return kinds;
        QM_ALL_FUNCTIONS(QM_CASE)
#undef QM_CASE
        default:
            return 0u;
    }
}

// Where a function of one argument is defined, and so the same everywhere. Elsewhere flushing denormals or the bits of
// a NaN could show; no step goes there.
QM_FN bool qm_defined(uint number, uint bits) {
    uint magnitude = bits & 0x7fffffffu;
    bool sized = magnitude >= 0x0d800000u && magnitude <= 0x71800000u;  // 2^-100 to 2^100
    switch (number) {
        case 1u:  // recip
        case 2u:  // rsqrt
            return sized && magnitude == bits;
        case 4u:  // silu
            return magnitude == 0u || magnitude >= 0x0d800000u;
        case 8u:                              // round
            return magnitude <= 0x4a800000u;  // 2^22
        case 12u:                             // x16_high
        case 13u:                             // x16_low
            return bits + 32512u <= 65024u;
        default:
            return true;
    }
}

#if defined(__cplusplus)
[[maybe_unused]] static constexpr uint qm_arity(uint kinds) { return kinds == 0 ? 0 : 1 + qm_arity(kinds >> 4); }
struct FunctionInfo {
    const char* name;
    uint arity;
};
#define QM_INFO(number, name, kinds, result) {#name, qm_arity(kinds)},
static constexpr FunctionInfo kFunctions[] = {QM_ALL_FUNCTIONS(QM_INFO)};
#undef QM_INFO
static_assert(sizeof(kFunctions) / sizeof(kFunctions[0]) == QM_FUNCTION_COUNT);
static_assert(kFunctions[QM_UNARY_COUNT - 1].arity == 1 && kFunctions[QM_UNARY_COUNT].arity == 2);
#endif

QM_NAMESPACE_END

#endif
