// Four values as X16, and their digits packed into words.
#ifndef QWEN3MOE_VULKAN_X16
#define QWEN3MOE_VULKAN_X16

uint pack4(ivec4 x) {
    uvec4 bytes = uvec4(x) & 255u;
    return bytes.x | (bytes.y << 8) | (bytes.z << 16) | (bytes.w << 24);
}
ivec4 high_digits(ivec4 q) { return ivec4(qm_x16_high(q.x), qm_x16_high(q.y), qm_x16_high(q.z), qm_x16_high(q.w)); }
ivec4 low_digits(ivec4 q) { return ivec4(qm_x16_low(q.x), qm_x16_low(q.y), qm_x16_low(q.z), qm_x16_low(q.w)); }

uint most_of(vec4 x) {
    return max(max(qm_abs_bits(x.x), qm_abs_bits(x.y)), max(qm_abs_bits(x.z), qm_abs_bits(x.w)));
}
ivec4 quantised(vec4 x, float inverse) {
    return ivec4(qm_x16(x.x, inverse), qm_x16(x.y, inverse), qm_x16(x.z, inverse), qm_x16(x.w, inverse));
}

#endif
