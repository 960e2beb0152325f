// The quantised block formats of GGUF: how packed scales are read, and why the integer sums fit.
// A block's integers times each digit of X16 are summed in int32, exactly, in any order.
#ifndef QWEN3MOE_SHARED_BLOCKS_H
#define QWEN3MOE_SHARED_BLOCKS_H

#include "arithmetic.h"

QM_NAMESPACE_BEGIN

#if defined(__cplusplus)
// |digit| <= 128, and the largest |scale| and |q| that a type's bits allow: the sum over `count` values fits int32.
constexpr bool qm_fits(long long count, long long scale, long long q) { return count * scale * q * 128 < (1LL << 31); }
static_assert(qm_fits(256, 15, 3), "Q2_K");
static_assert(qm_fits(256, 32, 4), "Q3_K");
static_assert(qm_fits(256, 63, 15), "Q4_K");
static_assert(qm_fits(256, 63, 31), "Q5_K");
static_assert(qm_fits(256, 128, 32), "Q6_K");
static_assert(qm_fits(256, 32, 127), "IQ4_XS");
static_assert(qm_fits(32, 1, 128), "types with a float scale for every 32 values");
// Attention: a digit times a whole X16 of K over a head, and of V over a block of keys.
static_assert(qm_fits(128, 1, QM_X16_MAX) && qm_fits(256, 1, QM_X16_MAX), "attention");
// Minima of 6 bits times the sums of X over a whole block.
static_assert(256LL * 63 * QM_X16_MAX < (1LL << 31), "M");
#endif

// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in 12 bytes, here as three little-endian words. The first
// four of either come out of one word as bytes, the other four out of its top bits and a word of nibbles.
QM_FN uint qm_k4_first(uint word) { return word & 0x3f3f3f3fu; }
QM_FN uint qm_k4_second(uint word, uint nibbles) { return (nibbles & 0x0f0f0f0fu) | ((word >> 2) & 0x30303030u); }
QM_FN int qm_k4_scale(uint w0, uint w2, uint j) {
    uint bytes = j < 4u ? qm_k4_first(w0) : qm_k4_second(w0, w2);
    return int((bytes >> (8u * (j & 3u))) & 63u);
}
QM_FN int qm_k4_min(uint w1, uint w2, uint j) {
    uint bytes = j < 4u ? qm_k4_first(w1) : qm_k4_second(w1, w2 >> 4);
    return int((bytes >> (8u * (j & 3u))) & 63u);
}

// Q3_K: sixteen 6-bit scales, biased by 32, in 12 bytes.
QM_FN int qm_q3k_scale(uint w0, uint w1, uint w2, uint j) {
    uint low = (((j & 4u) != 0u ? w1 : w0) >> (8u * (j & 3u) + ((j & 8u) >> 1))) & 15u;
    uint high = (w2 >> (8u * (j & 3u) + 2u * (j >> 2))) & 3u;
    return int(low | (high << 4)) - 32;
}

// IQ4_XS: eight 6-bit scales, biased by 32: low nibbles in a word, high pairs of bits in a 16-bit word.
QM_FN int qm_iq4xs_scale(uint low, uint high, uint j) {
    return int(((low >> (4u * j)) & 15u) | (((high >> (2u * j)) & 3u) << 4)) - 32;
}

// IQ4_NL and IQ4_XS: the sixteen values a nibble stands for, four to a word.
QM_FN int qm_iq4_value(uint nibble) {
    uint words = nibble < 8u ? (nibble < 4u ? 0xbfad9881u : 0xf6eaddcfu) : (nibble < 12u ? 0x26190d01u : 0x71594535u);
    return int(words << (24u - 8u * (nibble & 3u))) >> 24;
}

QM_NAMESPACE_END

#endif
