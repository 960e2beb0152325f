// Philox4x32-10: random words that depend on a key and a counter alone, by integers only.
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
#ifndef QWEN3MOE_SHARED_PHILOX_H
#define QWEN3MOE_SHARED_PHILOX_H

#include "arithmetic.h"

QM_NAMESPACE_BEGIN

struct QmWords {
    uint a, b, c, d;
};

// The high word of a product, from products of halves.
QM_FN uint qm_mul_high(uint x, uint y) {
    uint low = (x & 0xffffu) * (y & 0xffffu);
    uint middle = (x >> 16) * (y & 0xffffu) + (low >> 16);
    uint other = (x & 0xffffu) * (y >> 16) + (middle & 0xffffu);
    return (x >> 16) * (y >> 16) + (middle >> 16) + (other >> 16);
}

QM_FN QmWords qm_philox(QmWords counter, uint key, uint key_high) {
    QmWords w = counter;
    for (int round = 0; round < 10; round++) {
        QmWords n;
        n.a = qm_mul_high(0xcd9e8d57u, w.c) ^ w.b ^ key;
        n.b = 0xcd9e8d57u * w.c;
        n.c = qm_mul_high(0xd2511f53u, w.a) ^ w.d ^ key_high;
        n.d = 0xd2511f53u * w.a;
        w = n;
        key += 0x9e3779b9u;
        key_high += 0xbb67ae85u;
    }
    return w;
}

QM_NAMESPACE_END

#endif
