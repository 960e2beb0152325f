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

QM_CONST uint QM_SELFTEST_LOW = 0x9b8150a7u;
QM_CONST uint QM_SELFTEST_HIGH = 0xb601f7d0u;

// A float of 2^low .. 2^(low + span) from random bits.
QM_FN uint qm_float_between(uint h, int low, uint span) {
    return (uint(127 + low) + (h >> 23) % span) << 23 | (h & 0x7fffffu);
}

// Sixteen edge cases of each kind that has any.
QM_FN uint qm_edge(uint kind, uint i) {
    const uint floats[16] = {0x00000000u, 0x80000000u, 0x3f800000u, 0xbf800000u, 0x3f800001u, 0xbf7fffffu,
                             0x49800000u, 0xb5800000u, 0x4b800000u, 0x3fc00000u, 0x3eaaaaabu, 0xbf2aaaabu,
                             0x40490fdbu, 0x7f800000u, 0xff800000u, 0x7fc00000u};
    // zeros, ties of rounding, both ends of exp and their neighbours, the ends of its reduction
    const uint logs[16] = {0x00000000u, 0x80000000u, 0x3f000000u, 0xbf000000u, 0x3fc00000u, 0xc0200000u,
                           0xc2800000u, 0xc2800001u, 0xc27fffffu, 0x42b00000u, 0x42b00001u, 0x3eb17218u,
                           0xbeb17218u, 0x42ffffffu, 0xc2ffffffu, 0x39800000u};
    const uint positives[16] = {0x0d800000u, 0x0d800001u, 0x71800000u, 0x717fffffu, 0x3f800000u, 0x3f7fffffu,
                                0x3f800001u, 0x40000000u, 0x3fffffffu, 0x40400000u, 0x3eaaaaabu, 0x21800000u,
                                0x217fffffu, 0x5f000000u, 0x3fb504f3u, 0x3f3504f3u};
    // NaNs, infinities, the bounds of settle, X14 and half, a denormal and the ties of to_half
    const uint words[16] = {0x00000000u, 0xffffffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x0d800000u,
                            0x0d7fffffu, 0x21800000u, 0x217fffffu, 0x71800000u, 0x71800001u, 0x477ff000u,
                            0x477fefffu, 0x33000000u, 0x00000001u, 0x38801000u};
    // 0, 1, -1, the ends of int32, numbers that float rounds (ties to even, up and down), the ends of X14 and its
    // digits
    const uint ints[16] = {0x00000000u, 0x00000001u, 0xffffffffu, 0x80000000u, 0x7fffffffu, 0x01000001u,
                           0x01000003u, 0xfeffffffu, 0x7fffff40u, 0x7fffffbfu, 0x00001fc0u, 0xffffe040u,
                           0x0000001fu, 0x00000020u, 0xffffffe0u, 0xffffffdfu};
    switch (kind) {
        case QM_FLOAT:
            return floats[i];
        case QM_LOG:
            return logs[i];
        case QM_POSITIVE:
            return positives[i];
        case QM_WORD:
            return words[i];
        case QM_INT:
            return ints[i];
        case QM_X14:
            return ints[i < 3u ? i : 10u + i % 6u];
        default:
            return 0u;
    }
}

QM_FN uint qm_random(uint kind, uint h) {
    switch (kind) {
        case QM_FLOAT:
            return (h & 0x80000000u) | qm_float_between(qm_mix(h), -20, 41u);
        case QM_LOG:
            return (h & 0x80000000u) | qm_float_between(qm_mix(h), -12, 19u);
        case QM_POSITIVE:
            return qm_float_between(h, -100, 200u);
        case QM_SCALE:
            return qm_float_between(h, -30, 31u);
        case QM_GAIN:
            return qm_float_between(h, 0, 7u);
        case QM_X14:
            return h % 16257u - 8128u;
        case QM_BYTE:
            return h % 256u - 128u;
        default:
            return h;
    }
}

// Item k of a function: its argument at `position`. The first items go through all pairs of edge cases.
QM_FN uint qm_selftest_argument(uint number, uint k, uint position) {
    uint kind = (qm_kinds(number) >> (4u * position)) & 15u;
    uint h = qm_mix(qm_mix(number * 8u + position) + k);
    bool has_edges = kind != QM_SCALE && kind != QM_GAIN && kind != QM_BYTE;
    uint i = position == 0u ? k & 15u : (position == 1u ? (k >> 4) & 15u : h & 15u);
    return k < QM_SELFTEST_EDGE_ITEMS && has_edges ? qm_edge(kind, i) : qm_random(kind, h);
}

QM_FN QmArguments qm_selftest_arguments(uint number, uint k) {
    QmArguments x;
    x.a = qm_selftest_argument(number, k, 0u);
    x.b = qm_selftest_argument(number, k, 1u);
    x.c = qm_selftest_argument(number, k, 2u);
    x.d = qm_selftest_argument(number, k, 3u);
    x.e = qm_selftest_argument(number, k, 4u);
    x.f = qm_selftest_argument(number, k, 5u);
    x.g = qm_selftest_argument(number, k, 6u);
    x.h = qm_selftest_argument(number, k, 7u);
    return x;
}

// ---- what a device is asked to hash: a run of `count` indices from `first`

QM_CONST uint QM_HASH_SELFTEST = 0xffffffffu;  // a `function` that means the self-test, its items as indices

struct HashParams {
    uint function;  // of one argument, whose bits are the index; only where it is defined
    uint first;
    uint count;
};

QM_FN QmHash qm_hash_item(QmHash hash, uint number, uint index) {
    if (number == QM_HASH_SELFTEST) {
        uint f = index / QM_SELFTEST_ITEMS;
        return qm_fold(hash, index, qm_call(f, qm_selftest_arguments(f, index % QM_SELFTEST_ITEMS)));
    }
    QmArguments x;
    x.a = index;
    x.b = x.c = x.d = x.e = x.f = x.g = x.h = 0u;
    if (!qm_defined(number, index)) return hash;
    return qm_fold(hash, index, qm_call(number, x));
}

#if defined(__cplusplus)
static_assert(QM_SELFTEST_COUNT == QM_FUNCTION_COUNT * QM_SELFTEST_ITEMS);
#endif

QM_NAMESPACE_END

#endif
