// Blocks of 256 weights of kLanes rows at once, unpacked into lanes. One struct per format that has its own way.
#pragma once

#include "cpu/lanes.h"

#if defined(QM_LANES)

namespace qwen3moe::cpu::QM_SIMD {

inline constexpr int kChunks = 4;       // a block is unpacked in parts of 64 values,
inline constexpr int kChunkWords = 16;  // which is four to a word

// What multiplies the integers of a block.
struct alignas(64) LaneScales {
    Lanes scale[16];  // of Format::kGroup values each
    Lanes minimum[8];
    float d[kLanes];
    float dmin[kLanes];
};

QM_FN Lanes bits(Lanes v, std::uint32_t mask) { return both(v, splat(static_cast<std::int32_t>(mask))); }

QM_FN void split_bytes(Lanes v, Lanes* out) {
    out[0] = bits(v, 255);
    out[1] = bits(right<8>(v), 255);
    out[2] = bits(right<16>(v), 255);
    out[3] = right<24>(v);
}

// As qm_k4_first and qm_k4_second, for the scales and the minima of Q4_K and Q5_K.
QM_FN void split_k4(Lanes word, Lanes nibbles, Lanes* out) {
    split_bytes(bits(word, 0x3f3f3f3fu), out);
    split_bytes(either(bits(nibbles, 0x0f0f0f0fu), bits(right<2>(word), 0x30303030u)), out + 4);
}

QM_FN void k4_scales(const std::uint8_t* p, std::size_t stride, LaneScales& s) {
    Lanes words[4];
    transpose(p, stride, words);
    split_k4(words[1], words[3], s.scale);
    split_k4(words[2], right<4>(words[3]), s.minimum);
    alignas(64) std::uint32_t halves[kLanes];
    store(halves, words[0]);
    for (std::uint32_t r = 0; r < kLanes; r++) s.d[r] = qm_half(halves[r] & 0xffff);
    for (std::uint32_t r = 0; r < kLanes; r++) s.dmin[r] = qm_half(halves[r] >> 16);
}

// Of a format:
//   kGroup   values that share a scale
//   kMost    the largest q
//   scales   everything but the integers
//   chunk    16 words of q; word i holds values place(c, i) and the next three

struct Q4KLanes {
    using Format = Q4K;
    static constexpr int kGroup = 32, kMost = 15;
    QM_FN constexpr int place(int c, int i) { return 64 * c + 4 * i; }
    QM_FN void scales(const std::uint8_t* p, std::size_t stride, LaneScales& s) { k4_scales(p, stride, s); }
    QM_FN void chunk(const std::uint8_t* p, std::size_t stride, int c, Lanes* q) {
        const std::uint8_t* qs = p + 16 + 32 * c;
        Lanes words[8];
        transpose(qs, stride, words);
        transpose(qs + 16, stride, words + 4);
        for (int i = 0; i < 8; i++) {
            q[i] = bits(words[i], 0x0f0f0f0fu);
            q[8 + i] = bits(right<4>(words[i]), 0x0f0f0f0fu);
        }
    }
};

struct Q5KLanes {
    using Format = Q5K;
    static constexpr int kGroup = 32, kMost = 31;
    QM_FN constexpr int place(int c, int i) { return 64 * c + 4 * i; }
    QM_FN void scales(const std::uint8_t* p, std::size_t stride, LaneScales& s) { k4_scales(p, stride, s); }
    // The fifth bits of chunk c are bits 2c and 2c + 1 of each byte.
    QM_FN Lanes fifth(Lanes high, int bit) {
        switch (bit) {
            case 0:
                return bits(left<4>(high), 0x10101010u);
            case 1:
                return bits(left<3>(high), 0x10101010u);
            case 2:
                return bits(left<2>(high), 0x10101010u);
            case 3:
                return bits(left<1>(high), 0x10101010u);
            case 4:
                return bits(high, 0x10101010u);
            case 5:
                return bits(right<1>(high), 0x10101010u);
            case 6:
                return bits(right<2>(high), 0x10101010u);
            default:
                return bits(right<3>(high), 0x10101010u);
        }
    }
    QM_FN void chunk(const std::uint8_t* p, std::size_t stride, int c, Lanes* q) {
        const std::uint8_t* qs = p + 48 + 32 * c;
        Lanes words[8], high[8];
        transpose(qs, stride, words);
        transpose(qs + 16, stride, words + 4);
        transpose(p + 16, stride, high);
        transpose(p + 32, stride, high + 4);
        for (int i = 0; i < 8; i++) {
            q[i] = either(bits(words[i], 0x0f0f0f0fu), fifth(high[i], 2 * c));
            q[8 + i] = either(bits(right<4>(words[i]), 0x0f0f0f0fu), fifth(high[i], 2 * c + 1));
        }
    }
};

struct Q6KLanes {
    using Format = Q6K;
    static constexpr int kGroup = 16, kMost = 63;
    // A chunk is the first or the second half of the four runs of 32 values that share bytes.
    QM_FN constexpr int place(int c, int i) { return 128 * (c / 2) + 16 * (c % 2) + 32 * (i / 4) + 4 * (i % 4); }
    QM_FN void scales(const std::uint8_t* p, std::size_t stride, LaneScales& s) {
        Lanes words[4];
        transpose(p + 192, stride, words);
        for (int i = 0; i < 4; i++) {
            s.scale[4 * i] = sign_of_byte(words[i]);
            s.scale[4 * i + 1] = sign_of_byte(right<8>(words[i]));
            s.scale[4 * i + 2] = sign_of_byte(right<16>(words[i]));
            s.scale[4 * i + 3] = sign_of_byte(right<24>(words[i]));
        }
        alignas(64) std::uint32_t halves[kLanes];
        for (std::uint32_t r = 0; r < kLanes; r++) halves[r] = load16(p + r * stride + 208);
        for (std::uint32_t r = 0; r < kLanes; r++) s.d[r] = qm_half(halves[r]);
    }
    QM_FN void chunk(const std::uint8_t* p, std::size_t stride, int c, Lanes* q) {
        const std::uint8_t* low = p + 64 * (c / 2) + 16 * (c % 2);
        Lanes first[4], second[4], high[4];
        transpose(low, stride, first);
        transpose(low + 32, stride, second);
        transpose(p + 128 + 32 * (c / 2) + 16 * (c % 2), stride, high);
        for (int i = 0; i < 4; i++) {
            q[i] = either(bits(first[i], 0x0f0f0f0fu), bits(left<4>(high[i]), 0x30303030u));
            q[4 + i] = either(bits(second[i], 0x0f0f0f0fu), bits(left<2>(high[i]), 0x30303030u));
            q[8 + i] = either(bits(right<4>(first[i]), 0x0f0f0f0fu), bits(high[i], 0x30303030u));
            q[12 + i] = either(bits(right<4>(second[i]), 0x0f0f0f0fu), bits(right<2>(high[i]), 0x30303030u));
        }
    }
};

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
