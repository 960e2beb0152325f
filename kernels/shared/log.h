// The natural logarithm in the exact arithmetic; contracts/sampling-v1.yaml defines it.
#ifndef QWEN3MOE_SHARED_LOG_H
#define QWEN3MOE_SHARED_LOG_H

#include "arithmetic.h"

QM_NAMESPACE_BEGIN

// log(x) for 2^-100 <= x <= 2^100.
QM_FN float qm_log(float x) {
    // x = 2^k * (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); subtracting that root's bits first lets one shift find k.
    uint above = qm_bits(x) - 0x3f3504f3u;
    float k = float(int(above) >> 23);
    float f = qm_sub(qm_from_bits((above & 0x7fffffu) + 0x3f3504f3u), qm_from_bits(0x3f800000u));
    // With s = f / (2 + f), log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + R), where R = log((1 + s) / (1 - s)) / s - 2.
    float s = qm_mul(f, qm_recip(qm_add(f, qm_from_bits(0x40000000u))));
    float z = qm_mul(s, s);
    float R = qm_from_bits(0x3e71a8f6u);  // a polynomial in z, fitted
    R = qm_mul_add(R, z, qm_from_bits(0x3e921b3bu));
    R = qm_mul_add(R, z, qm_from_bits(0x3ecccd42u));
    R = qm_mul_add(R, z, qm_from_bits(0x3f2aaaaau));
    R = qm_mul(R, z);
    float h = qm_mul(qm_mul(f, f), qm_from_bits(0x3f000000u));
    // ln 2 in the two parts that exp has too: k times the first is exact.
    float low = qm_mul_add(s, qm_add(h, R), qm_mul(k, qm_from_bits(0xb95e8083u)));
    float high = qm_mul(k, qm_from_bits(0x3f318000u));
    return qm_sub(high, qm_sub(qm_sub(h, low), f));
}

QM_NAMESPACE_END

#endif
