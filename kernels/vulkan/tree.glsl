// Float sums over a row, in the one order that the contract gives them.
#ifndef QWEN3MOE_VULKAN_TREE
#define QWEN3MOE_VULKAN_TREE

float tree16(float p[16]) {
    return qm_sum8(qm_add(p[0], p[8]), qm_add(p[1], p[9]), qm_add(p[2], p[10]), qm_add(p[3], p[11]),
                   qm_add(p[4], p[12]), qm_add(p[5], p[13]), qm_add(p[6], p[14]), qm_add(p[7], p[15]));
}

#endif
