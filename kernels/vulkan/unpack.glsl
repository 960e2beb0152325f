// A part of a weight block as integers: 32 of its 256 values as two runs of 16, with their scales. A row is taken in
// blocks of 256 values, a block in eight parts; formats of 32 values make a part of each block.
#ifndef QWEN3MOE_VULKAN_UNPACK
#define QWEN3MOE_VULKAN_UNPACK

#include "shared/blocks.h"
#include "vulkan/types.glsl"

struct Part {
    uvec4 q[2];     // sixteen int8 in each run
    ivec2 scale;    // of super-blocks
    ivec2 minimum;  // of super-blocks with minima
    float d;        // of blocks of 32
    float dmin;     // of blocks of 32 with a minimum: the minimum itself, added
};

uvec2 plane(WeightAddress w, uint units) {
    uvec2 a = after(address(w.plane0), units << 8);
    return uvec2(a.x, a.y + (units >> 24));
}

// Four bytes below 128 in each word, less `bias` each: no borrow leaves a byte.
uvec4 minus4(uvec4 x, uint bias) { return ((x | 0x80808080u) - bias * 0x01010101u) ^ 0x80808080u; }
// Bit i of four goes to byte i.
uint spread4(uint bits) { return ((bits & 15u) * 0x00204081u) & 0x01010101u; }
uvec4 spread16(uint bits) { return uvec4(spread4(bits), spread4(bits >> 4), spread4(bits >> 8), spread4(bits >> 12)); }

void take_nibbles(uvec4 from, inout Part p) {
    p.q[0] = from & 0x0f0f0f0fu;
    p.q[1] = (from >> 4) & 0x0f0f0f0fu;
}

uint iq4_word(uint nibbles) {
    uint word = 0u;
    [[unroll]] for (uint b = 0u; b < 32u; b += 8u) word |= (uint(qm_iq4_value((nibbles >> b) & 15u)) & 255u) << b;
    return word;
}
uvec4 iq4_words(uvec4 n) { return uvec4(iq4_word(n.x), iq4_word(n.y), iq4_word(n.z), iq4_word(n.w)); }
void take_iq4(uvec4 from, inout Part p) {
    take_nibbles(from, p);
    p.q[0] = iq4_words(p.q[0]);
    p.q[1] = iq4_words(p.q[1]);
}

// ---- super-blocks of 256 with integer scales; b counts them

// Sub-blocks 2 c and 2 c + 1, where c = k / 2: neighbouring bytes of one word.
void q4_k_scales(WeightAddress w, uint b, uint k, inout Part p) {
    uvec4 head = Quads(address(w.plane0)).at[b];
    uint scales = k < 4u ? qm_k4_first(head.y) : qm_k4_second(head.y, head.w);
    uint minima = k < 4u ? qm_k4_first(head.z) : qm_k4_second(head.z, head.w >> 4);
    uint shift = 8u * (k & 2u);
    p.scale = ivec2((scales >> shift) & 63u, (scales >> (shift + 8u)) & 63u);
    p.minimum = ivec2((minima >> shift) & 63u, (minima >> (shift + 8u)) & 63u);
}

void q4_k(WeightAddress w, uint b, uint k, inout Part p) {
    take_nibbles(Quads(plane(w, w.plane1)).at[b * 8u + k], p);
    q4_k_scales(w, b, k, p);
}

void q5_k(WeightAddress w, uint b, uint k, inout Part p) {
    take_nibbles(Quads(plane(w, w.plane1)).at[b * 8u + k], p);
    uvec4 high = Quads(plane(w, w.plane2)).at[b * 2u + (k & 1u)] >> (2u * (k >> 1));
    p.q[0] |= (high & 0x01010101u) << 4;
    p.q[1] |= ((high >> 1) & 0x01010101u) << 4;
    q4_k_scales(w, b, k, p);
}

void q6_k(WeightAddress w, uint b, uint k, inout Part p) {
    take_nibbles(Quads(plane(w, w.plane1)).at[b * 8u + k], p);
    // two bits of a value: of the quarters of 128 values, bits 0, 2, 4, 6
    uvec4 high = Quads(plane(w, w.plane3)).at[b * 4u + 2u * (k >> 2) + (k & 1u)] >> (2u * ((k >> 1) & 1u));
    p.q[0] = minus4(p.q[0] | ((high & 0x03030303u) << 4), 32u);
    p.q[1] = minus4(p.q[1] | (((high >> 4) & 0x03030303u) << 4), 32u);
    ivec2 scales = ivec2(Pairs(plane(w, w.plane2)).at[b * 2u + (k >> 2)]);
    p.scale = (scales << (24u - 8u * (k & 3u))) >> 24;
}

// Q2_K and Q3_K: value 128 h + 32 j + l is bits 2 j of byte 32 h + l. A part is half of the bytes' 32 and two j.
uint q2_half(uint k) { return (k >> 1) & 1u; }

void q2_k_pairs(WeightAddress w, uint b, uint k, inout Part p) {
    uvec4 qs = Quads(plane(w, w.plane1)).at[b * 4u + 2u * (k >> 2) + q2_half(k)] >> (4u * (k & 1u));
    p.q[0] = qs & 0x03030303u;
    p.q[1] = (qs >> 2) & 0x03030303u;
}

void q2_k(WeightAddress w, uint b, uint k, inout Part p) {
    q2_k_pairs(w, b, k, p);
    uint both = Words(plane(w, w.plane2)).at[b * 4u + 2u * (k >> 2) + (k & 1u)] >> (8u * q2_half(k));
    p.scale = ivec2(both & 15u, (both >> 16) & 15u);
    p.minimum = ivec2((both >> 4) & 15u, (both >> 20) & 15u);
}

void q3_k(WeightAddress w, uint b, uint k, inout Part p) {
    q2_k_pairs(w, b, k, p);
    // the third bit: bit 4 h + j of byte l
    uvec4 high = Quads(plane(w, w.plane3)).at[b * 2u + q2_half(k)] >> (4u * (k >> 2) + 2u * (k & 1u));
    p.q[0] = minus4(p.q[0] | ((high & 0x01010101u) << 2), 4u);
    p.q[1] = minus4(p.q[1] | (((high >> 1) & 0x01010101u) << 2), 4u);
    Words packed = Words(plane(w, w.plane2));
    uint run = 8u * (k >> 2) + 4u * (k & 1u) + q2_half(k);
    uint w0 = packed.at[3u * b], w1 = packed.at[3u * b + 1u], w2 = packed.at[3u * b + 2u];
    p.scale = ivec2(qm_q3k_scale(w0, w1, w2, run), qm_q3k_scale(w0, w1, w2, run + 2u));
}

void iq4_xs(WeightAddress w, uint b, uint k, inout Part p) {
    take_iq4(Quads(plane(w, w.plane1)).at[b * 8u + k], p);
    uvec2 head = Pairs(address(w.plane0)).at[b];
    p.scale = ivec2(qm_iq4xs_scale(head.y, head.x >> 16, k));
}

// ---- blocks of 32 with a float scale

void q8_0(WeightAddress w, uint b, inout Part p) {
    p.q[0] = Quads(plane(w, w.plane1)).at[2u * b];
    p.q[1] = Quads(plane(w, w.plane1)).at[2u * b + 1u];
}

// Bit l of a word is the fifth bit of value l.
void fifth_bits(WeightAddress w, uint b, inout Part p) {
    uint high = Words(plane(w, w.plane2)).at[b];
    p.q[0] |= spread16(high) << 4;
    p.q[1] |= spread16(high >> 16) << 4;
}

void small_part(WeightAddress w, uint b, inout Part p) {
    if (kMin) {
        uint word = Words(address(w.plane0)).at[b];
        p.d = qm_half(word & 0xffffu);
        p.dmin = qm_half(word >> 16);
    } else {
        p.d = qm_half(half_at(address(w.plane0), b));
    }
    if (kType == Q8_0) {
        q8_0(w, b, p);
        return;
    }
    uvec4 packed = Quads(plane(w, w.plane1)).at[b];
    if (kType == IQ4_NL) {
        take_iq4(packed, p);
        return;
    }
    take_nibbles(packed, p);
    if (kType == Q5_0 || kType == Q5_1) fifth_bits(w, b, p);
    if (kType == Q4_0 || kType == Q5_0) {
        uint bias = kType == Q4_0 ? 8u : 16u;
        p.q[0] = minus4(p.q[0], bias);
        p.q[1] = minus4(p.q[1], bias);
    }
}

// ---- any type

// Which 16 of the 256 values run i of part k is.
uint run_of(uint k, uint i) {
    if (kType == Q4_K || kType == Q5_K) return 4u * (k >> 1) + 2u * i + (k & 1u);
    if (kType == Q6_K) return 8u * (k >> 2) + 4u * i + (k & 3u);
    if (kType == Q2_K || kType == Q3_K) return 8u * (k >> 2) + 4u * (k & 1u) + 2u * i + q2_half(k);
    return 2u * k + i;
}

// Part k of a block of a row; past the end of a row of 32s it is zero.
Part part_of(WeightAddress w, uint columns, uint row, uint block, uint k) {
    Part p = Part(uvec4[2](uvec4(0u), uvec4(0u)), ivec2(0), ivec2(0), 0.0f, 0.0f);
    if (kSuper) {
        uint b = row * (columns / 256u) + block;
        if (kType == Q4_K) q4_k(w, b, k, p);
        if (kType == Q5_K) q5_k(w, b, k, p);
        if (kType == Q6_K) q6_k(w, b, k, p);
        if (kType == Q2_K) q2_k(w, b, k, p);
        if (kType == Q3_K) q3_k(w, b, k, p);
        if (kType == IQ4_XS) iq4_xs(w, b, k, p);
    } else {
        uint groups = columns / 32u;
        uint group = 8u * block + k;
        if (group < groups) small_part(w, row * groups + group, p);
    }
    return p;
}

// d and dmin of a super-block.
vec2 factors_of(WeightAddress w, uint columns, uint row, uint block) {
    uint b = row * (columns / 256u) + block;
    if (kType == Q6_K || kType == Q3_K) return vec2(qm_half(half_at(address(w.plane0), b)), 0.0f);
    uint stride = kType == Q2_K ? 1u : (kType == IQ4_XS ? 2u : 4u);  // words
    uint word = Words(address(w.plane0)).at[b * stride];
    return vec2(qm_half(word & 0xffffu), kMin ? qm_half(word >> 16) : 0.0f);
}

// Value i of a matrix of floats.
float float_at(WeightAddress w, uint i) {
    if (kType == F16) return qm_half(half_at(address(w.plane0), i));
    if (kType == BF16) return qm_bfloat(half_at(address(w.plane0), i));
    return Floats(address(w.plane0)).at[i];
}

#endif
