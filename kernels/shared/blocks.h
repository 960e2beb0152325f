// The quantised block formats of GGUF: how many integer products fit one group, and how packed scales are read.
// A block's integers times X14 are summed exactly in int32 over a group; the bounds below prove that they fit.
#ifndef QWEN3MOE_SHARED_BLOCKS_H
#define QWEN3MOE_SHARED_BLOCKS_H

#include "arithmetic.h"

QM_NAMESPACE_BEGIN

// Values in a group of T, by type.
QM_CONST int QM_GROUP_Q2_K = 256;
QM_CONST int QM_GROUP_Q3_K = 256;
QM_CONST int QM_GROUP_Q4_K = 256;
QM_CONST int QM_GROUP_Q5_K = 128;
QM_CONST int QM_GROUP_Q6_K = 64;
QM_CONST int QM_GROUP_IQ4_XS = 64;
QM_CONST int QM_GROUP_32 = 32;    // every type with a float scale for each 32 values
QM_CONST int QM_GROUP_HEAD = 32;  // X14 x X14 in attention: scores and P.V

#if defined(__cplusplus)
// The largest |scale| and |q| of each type, as its bits allow: group * scale * q * 8128 < 2^31.
constexpr bool qm_fits(long long group, long long scale, long long q) {
    return group * scale * q * QM_X14_MAX < (1LL << 31);
}
static_assert(qm_fits(QM_GROUP_Q2_K, 15, 3));
static_assert(qm_fits(QM_GROUP_Q3_K, 32, 4));
static_assert(qm_fits(QM_GROUP_Q4_K, 63, 15));
static_assert(qm_fits(QM_GROUP_Q5_K, 63, 31) && !qm_fits(2 * QM_GROUP_Q5_K, 63, 31));
static_assert(qm_fits(QM_GROUP_Q6_K, 128, 32) && !qm_fits(2 * QM_GROUP_Q6_K, 128, 32));
static_assert(qm_fits(QM_GROUP_IQ4_XS, 32, 127) && !qm_fits(2 * QM_GROUP_IQ4_XS, 32, 127));
static_assert(qm_fits(QM_GROUP_32, 1, 128));
static_assert(qm_fits(QM_GROUP_HEAD, 1, QM_X14_MAX) && !qm_fits(2 * QM_GROUP_HEAD, 1, QM_X14_MAX));
// M: minima of 6 bits times the sums of X over a whole block.
static_assert(qm_fits(256, 63, 1));
#endif

// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in 12 bytes, here as three little-endian words.
QM_FN int qm_k4_scale(uint w0, uint w2, uint j) {
    uint shift = 8u * (j & 3u);
    uint first = (w0 >> shift) & 63u;
    uint second = ((w2 >> shift) & 15u) | (((w0 >> shift) & 0xc0u) >> 2);
    return int(j < 4u ? first : second);
}
QM_FN int qm_k4_min(uint w1, uint w2, uint j) {
    uint shift = 8u * (j & 3u);
    uint first = (w1 >> shift) & 63u;
    uint second = ((w2 >> (shift + 4u)) & 15u) | (((w1 >> shift) & 0xc0u) >> 2);
    return int(j < 4u ? first : second);
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
