// A weight block as integers: q as unsigned bytes of which a weight is q - kBias, and for the K types the sub-blocks'
// integer scales and minima. One struct per format.
#pragma once

#include "cpu/variant.h"
#include "shared/blocks.h"

namespace qwen3moe::cpu::QM_SIMD {

struct alignas(64) Block {
    std::uint8_t q[256];
    std::int16_t scale[16];  // of 16 values each
    std::int16_t minimum[16];
    float d;
    float dmin;  // of 32-value types: the minimum itself, added
};

static_assert(std::endian::native == std::endian::little, "blocks are read as they lie in the file");

QM_FN std::uint32_t load16(const std::uint8_t* p) {
    std::uint16_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
}
QM_FN std::uint32_t load32(const std::uint8_t* p) {
    std::uint32_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
}
QM_FN std::int16_t narrow(int x) { return static_cast<std::int16_t>(x); }
QM_FN std::uint8_t byte(int x) { return static_cast<std::uint8_t>(x); }

// ---- super-blocks of 256 with integer scales

struct Q2K {
    static constexpr int kBytes = 84, kBias = 0;
    static constexpr bool kMin = true;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        const std::uint8_t *scales = p, *qs = p + 16;
        b.d = qm_half(load16(p + 80));
        b.dmin = qm_half(load16(p + 82));
        for (int j = 0; j < 16; j++) b.scale[j] = narrow(scales[j] & 15), b.minimum[j] = narrow(scales[j] >> 4);
        for (int half = 0; half < 2; half++)
            for (int j = 0; j < 4; j++)
                for (int l = 0; l < 32; l++) b.q[128 * half + 32 * j + l] = byte((qs[32 * half + l] >> (2 * j)) & 3);
    }
};

struct Q3K {
    static constexpr int kBytes = 110, kBias = 4;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        const std::uint8_t *high = p, *qs = p + 32;
        const std::uint32_t w0 = load32(p + 96), w1 = load32(p + 100), w2 = load32(p + 104);
        b.d = qm_half(load16(p + 108));
        for (uint j = 0; j < 16; j++) b.scale[j] = narrow(qm_q3k_scale(w0, w1, w2, j));
        for (int half = 0; half < 2; half++)
            for (int j = 0; j < 4; j++)
                for (int l = 0; l < 32; l++)
                    b.q[128 * half + 32 * j + l] =
                        byte(((qs[32 * half + l] >> (2 * j)) & 3) + 4 * ((high[l] >> (4 * half + j)) & 1));
    }
};

QM_FN void unpack_k4_scales(const std::uint8_t* p, Block& b) {
    const std::uint32_t w0 = load32(p + 4), w1 = load32(p + 8), w2 = load32(p + 12);
    b.d = qm_half(load16(p));
    b.dmin = qm_half(load16(p + 2));
    const std::uint32_t scales[2] = {qm_k4_first(w0), qm_k4_second(w0, w2)};
    const std::uint32_t minima[2] = {qm_k4_first(w1), qm_k4_second(w1, w2 >> 4)};
    std::uint8_t s[8], m[8];
    __builtin_memcpy(s, scales, 8);
    __builtin_memcpy(m, minima, 8);
    for (int j = 0; j < 16; j++) b.scale[j] = s[j / 2], b.minimum[j] = m[j / 2];
}

struct Q4K {
    static constexpr int kBytes = 144, kBias = 0;
    static constexpr bool kMin = true;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        unpack_k4_scales(p, b);
        for (int c = 0; c < 4; c++)
            for (int l = 0; l < 32; l++) {
                b.q[64 * c + l] = byte(p[16 + 32 * c + l] & 15);
                b.q[64 * c + 32 + l] = byte(p[16 + 32 * c + l] >> 4);
            }
    }
};

struct Q5K {
    static constexpr int kBytes = 176, kBias = 0;
    static constexpr bool kMin = true;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        unpack_k4_scales(p, b);
        const std::uint8_t *high = p + 16, *qs = p + 48;
        for (int c = 0; c < 4; c++)
            for (int l = 0; l < 32; l++) {
                b.q[64 * c + l] = byte((qs[32 * c + l] & 15) + 16 * ((high[l] >> (2 * c)) & 1));
                b.q[64 * c + 32 + l] = byte((qs[32 * c + l] >> 4) + 16 * ((high[l] >> (2 * c + 1)) & 1));
            }
    }
};

struct Q6K {
    static constexpr int kBytes = 210, kBias = 32;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p + 208));
        for (int j = 0; j < 16; j++) b.scale[j] = narrow(static_cast<std::int8_t>(p[192 + j]));
        for (int half = 0; half < 2; half++) {
            const std::uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
            for (int l = 0; l < 32; l++) {
                b.q[128 * half + l] = byte((low[l] & 15) | (high[l] & 3) << 4);
                b.q[128 * half + 32 + l] = byte((low[l + 32] & 15) | ((high[l] >> 2) & 3) << 4);
                b.q[128 * half + 64 + l] = byte((low[l] >> 4) | ((high[l] >> 4) & 3) << 4);
                b.q[128 * half + 96 + l] = byte((low[l + 32] >> 4) | (high[l] >> 6) << 4);
            }
        }
    }
};

struct IQ4XS {
    static constexpr int kBytes = 136, kBias = 127;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        const std::uint32_t high = load16(p + 2), low = load32(p + 4);
        b.d = qm_half(load16(p));
        for (uint j = 0; j < 8; j++) {
            b.scale[2 * j] = b.scale[2 * j + 1] = narrow(qm_iq4xs_scale(low, high, j));
            const std::uint8_t* qs = p + 8 + 16 * j;
            for (uint l = 0; l < 16; l++) {
                b.q[32 * j + l] = byte(qm_iq4_value(qs[l] & 15) + kBias);
                b.q[32 * j + 16 + l] = byte(qm_iq4_value(qs[l] >> 4) + kBias);
            }
        }
    }
};

// ---- blocks of 32 with a float scale: they fill q[0..31]

struct Q80 {
    static constexpr int kBytes = 34, kBias = 128;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        for (int l = 0; l < 32; l++) b.q[l] = byte(p[2 + l] ^ 0x80);
    }
};

struct Q40 {
    static constexpr int kBytes = 18, kBias = 8;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        for (int l = 0; l < 16; l++) b.q[l] = byte(p[2 + l] & 15), b.q[16 + l] = byte(p[2 + l] >> 4);
    }
};

struct Q41 {
    static constexpr int kBytes = 20, kBias = 0;
    static constexpr bool kMin = true;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        b.dmin = qm_half(load16(p + 2));
        for (int l = 0; l < 16; l++) b.q[l] = byte(p[4 + l] & 15), b.q[16 + l] = byte(p[4 + l] >> 4);
    }
};

// The fifth bit of value l is bit l of a word.
QM_FN void unpack_q5(const std::uint8_t* qs, std::uint32_t high, Block& b) {
    for (int l = 0; l < 16; l++) {
        b.q[l] = byte((qs[l] & 15) + 16 * static_cast<int>((high >> l) & 1));
        b.q[16 + l] = byte((qs[l] >> 4) + 16 * static_cast<int>((high >> (l + 16)) & 1));
    }
}

struct Q50 {
    static constexpr int kBytes = 22, kBias = 16;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        unpack_q5(p + 6, load32(p + 2), b);
    }
};

struct Q51 {
    static constexpr int kBytes = 24, kBias = 0;
    static constexpr bool kMin = true;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        b.dmin = qm_half(load16(p + 2));
        unpack_q5(p + 8, load32(p + 4), b);
    }
};

struct IQ4NL {
    static constexpr int kBytes = 18, kBias = 127;
    static constexpr bool kMin = false;
    QM_FN void unpack(const std::uint8_t* p, Block& b) {
        b.d = qm_half(load16(p));
        for (int l = 0; l < 16; l++) {
            b.q[l] = byte(qm_iq4_value(p[2 + l] & 15) + kBias);
            b.q[16 + l] = byte(qm_iq4_value(p[2 + l] >> 4) + kBias);
        }
    }
};

// ---- plain floats

struct F32 {
    static constexpr int kBytes = 4;
    QM_FN float load(const std::uint8_t* p) { return qm_from_bits(load32(p)); }
};
struct F16 {
    static constexpr int kBytes = 2;
    QM_FN float load(const std::uint8_t* p) { return qm_half(load16(p)); }
};
struct BF16 {
    static constexpr int kBytes = 2;
    QM_FN float load(const std::uint8_t* p) { return qm_bfloat(load16(p)); }
};

}  // namespace qwen3moe::cpu::QM_SIMD
