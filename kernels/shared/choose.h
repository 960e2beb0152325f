// The greedy choice among logits, and its log-probability; contracts/sampling-v1.yaml defines them.
#ifndef QWEN3MOE_SHARED_CHOOSE_H
#define QWEN3MOE_SHARED_CHOOSE_H

#include "log.h"

QM_NAMESPACE_BEGIN

// Rises with x and is the same for both zeros: integers compare alike on every device, denormal floats may not. Above 0
// for every number.
QM_FN uint qm_logit_key(float x) {
    uint bits = qm_abs_bits(x) == 0u ? 0u : qm_bits(x);
    return bits < 0x80000000u ? bits | 0x80000000u : ~bits;
}

// sum: qm_probability(l, maximum) of all logits l, as 256 strided partial sums and their halving tree.
QM_FN float qm_log_probability(float logit, float maximum, float sum) {
    return qm_sub(qm_sub(logit, maximum), qm_log(sum));
}

QM_NAMESPACE_END

#endif
