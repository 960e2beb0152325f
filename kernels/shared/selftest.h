// The self-test: fixed arguments for every function, its results folded into one hash that any order of work gives.
// A device whose hash is not the golden one does not do the arithmetic, and is refused.
#ifndef QWEN3MOE_SHARED_SELFTEST_H
#define QWEN3MOE_SHARED_SELFTEST_H

#include "functions.h"

QM_NAMESPACE_BEGIN

// ---- the hash: sums mod 2^32 of two mixes of (index, bits), so that threads may add in any order

struct QmHash {
    uint low;
    uint high;
};

// A bijection of 32-bit words in which every bit of the result depends on every bit of h.
QM_FN uint qm_mix(uint h) {
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

QM_FN QmHash qm_fold(QmHash hash, uint index, uint bits) {
    uint place = qm_mix(index + 0x9e3779b9u);
    hash.low += qm_mix(bits + place);
    hash.high += qm_mix(qm_mix(bits ^ 0x5bd1e995u) ^ place);
    return hash;
}

// ---- arguments

QM_CONST uint QM_SELFTEST_ITEMS = 1024u;      // for each function
QM_CONST uint QM_SELFTEST_EDGE_ITEMS = 256u;  // of these, made of edge cases
QM_CONST uint QM_SELFTEST_COUNT = 46080u;     // 45 functions

QM_CONST uint QM_SELFTEST_LOW = 0x8baaf0eau;
QM_CONST uint QM_SELFTEST_HIGH = 0x0f22122au;

// An argument of a kind from random bits.
QM_FN uint qm_random(uint kind, uint h) {
    bool words = kind == QM_WORD || kind == QM_INT;
    bool integers = kind == QM_X16 || kind == QM_BYTE;
    uint range = kind == QM_X16 ? 65025u : 256u;
    uint integer = ((h >> 16) * range >> 16) - range / 2u;
    uint low = kind == QM_FLOAT ? 107u : (kind == QM_LOG ? 115u : (kind == QM_POSITIVE ? 27u : 97u));
    uint span = kind == QM_FLOAT ? 41u : (kind == QM_LOG ? 19u : (kind == QM_POSITIVE ? 200u : 31u));
    low = kind == QM_GAIN ? 127u : low;
    span = kind == QM_GAIN ? 9u : span;
    uint sign = kind == QM_FLOAT || kind == QM_LOG ? h & 0x80000000u : 0u;
    uint exponent = low + (((h >> 23) & 255u) * span >> 8);
    uint real = sign | exponent << 23 | (h & 0x7fffffu);
    return words ? h : (integers ? integer : real);
}

// Item k of a function. Its first items are made of edge cases, in all pairs for the first two arguments. The table has
// one reader: some shader compilers copy it for each.
QM_FN QmArguments qm_selftest_arguments(uint number, uint k) {
    const uint edges[80] = {
        // QM_FLOAT
        0x00000000u, 0x80000000u, 0x3f800000u, 0xbf800000u, 0x3f800001u, 0xbf7fffffu, 0x49800000u, 0xb5800000u,
        0x4b800000u, 0x3fc00000u, 0x3eaaaaabu, 0xbf2aaaabu, 0x40490fdbu, 0x7f800000u, 0xff800000u, 0x7fc00000u,
        // QM_LOG: zeros, ties of rounding, both ends of exp and their neighbours, the ends of its reduction
        0x00000000u, 0x80000000u, 0x3f000000u, 0xbf000000u, 0x3fc00000u, 0xc0200000u, 0xc2800000u, 0xc2800001u,
        0xc27fffffu, 0x42b00000u, 0x42b00001u, 0x3eb17218u, 0xbeb17218u, 0x42ffffffu, 0xc2ffffffu, 0x39800000u,
        // QM_POSITIVE
        0x0d800000u, 0x0d800001u, 0x71800000u, 0x717fffffu, 0x3f800000u, 0x3f7fffffu, 0x3f800001u, 0x40000000u,
        0x3fffffffu, 0x40400000u, 0x3eaaaaabu, 0x21800000u, 0x217fffffu, 0x5f000000u, 0x3fb504f3u, 0x3f3504f3u,
        // QM_WORD: NaNs, infinities, the bounds of settle, X16 and half, a denormal, ties of to_half
        0x00000000u, 0xffffffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x0d800000u, 0x0d7fffffu, 0x21800000u,
        0x217fffffu, 0x71800000u, 0x71800001u, 0x477ff000u, 0x477fefffu, 0x33000000u, 0x00000001u, 0x38801000u,
        // QM_INT: 0, 1, -1, the ends of int32, numbers that float rounds; the last six, the ends of X16 and its digits
        0x00000000u, 0x00000001u, 0xffffffffu, 0x80000000u, 0x7fffffffu, 0x01000001u, 0x01000003u, 0xfeffffffu,
        0x7fffff40u, 0x7fffffbfu, 0x00007f00u, 0xffff8100u, 0x0000007fu, 0x00000080u, 0xffffff80u, 0xffffff7fu};
    uint kinds = qm_kinds(number);
    uint x[8];
    for (uint j = 0u; j < 8u; j++) {
        uint kind = (kinds >> (4u * j)) & 15u;
        uint h = qm_mix(qm_mix(number * 8u + j) + k);
        uint i = j == 0u ? k & 15u : (j == 1u ? (k >> 4) & 15u : h & 15u);
        uint edge = kind == QM_X16 ? (i < 3u ? 64u + i : 74u + i % 6u) : 16u * (kind - 1u) + i;
        bool is_edge = k < QM_SELFTEST_EDGE_ITEMS && kind >= QM_FLOAT && kind <= QM_X16;
        x[j] = is_edge ? edges[edge] : qm_random(kind, h);
    }
    QmArguments all;
    all.a = x[0];
    all.b = x[1];
    all.c = x[2];
    all.d = x[3];
    all.e = x[4];
    all.f = x[5];
    all.g = x[6];
    all.h = x[7];
    return all;
}

// ---- what a device is asked to hash: a run of `count` indices from `first`

QM_CONST uint QM_HASH_SELFTEST = 0xffffffffu;  // a `function` that means the self-test, its items as indices

struct HashParams {
    uint function;  // of one argument, whose bits are the index; only where it is defined
    uint first;
    uint count;
};

QM_FN QmHash qm_hash_item(QmHash hash, uint number, uint index) {
    bool selftest = number == QM_HASH_SELFTEST;
    uint f = selftest ? index / QM_SELFTEST_ITEMS : number;
    QmArguments x;
    x.a = index;
    x.b = x.c = x.d = x.e = x.f = x.g = x.h = 0u;
    if (selftest) x = qm_selftest_arguments(f, index % QM_SELFTEST_ITEMS);
    uint result = qm_call(f, x);
    if (selftest || qm_defined(number, index)) return qm_fold(hash, index, result);
    return hash;
}

#if defined(__cplusplus)
static_assert(QM_SELFTEST_COUNT == QM_FUNCTION_COUNT * QM_SELFTEST_ITEMS);
#endif

QM_NAMESPACE_END

#endif
