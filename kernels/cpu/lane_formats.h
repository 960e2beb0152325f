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

template <class Rows>
QM_FN void k4_scales(const Rows& rows, LaneScales& s) {
    Lanes words[4];
    transpose(rows, 0, words);
    split_k4(words[1], words[3], s.scale);
    split_k4(words[2], right<4>(words[3]), s.minimum);
    alignas(64) std::uint32_t halves[kLanes];
    store(halves, words[0]);
#pragma GCC unroll 1  // a loop becomes vector code, its copies side by side do not
    for (std::uint32_t r = 0; r < kLanes; r++) s.d[r] = qm_half(halves[r] & 0xffff);
#pragma GCC unroll 1
    for (std::uint32_t r = 0; r < kLanes; r++) s.dmin[r] = qm_half(halves[r] >> 16);
}

// Of a format:
//   kGroup   values that share a scale
//   kMost    the largest q
//   scales   everything but the integers
//   read     the bytes of chunk c, in kWords words
//   q        word i of the chunk made of them: values place(c, i) and the next three

struct Q4KLanes {
    using Format = Q4K;
    static constexpr int kGroup = 32, kMost = 15, kWords = 8;
    QM_FN constexpr int place(int c, int i) { return 64 * c + 4 * i; }
    template <class Rows>
    QM_FN void scales(const Rows& rows, LaneScales& s) {
        k4_scales(rows, s);
    }
    template <class Rows>
    QM_FN void read(const Rows& rows, int c, Lanes* words) {
        transpose(rows, 16 + 32 * c, words);
        transpose(rows, 32 + 32 * c, words + 4);
    }
    QM_FN Lanes q(const Lanes* words, int, int i) {
        return bits(i < 8 ? words[i] : right<4>(words[i - 8]), 0x0f0f0f0fu);
    }
};

struct Q5KLanes {
    using Format = Q5K;
    static constexpr int kGroup = 32, kMost = 31, kWords = 16;
    QM_FN constexpr int place(int c, int i) { return 64 * c + 4 * i; }
    template <class Rows>
    QM_FN void scales(const Rows& rows, LaneScales& s) {
        k4_scales(rows, s);
    }
    template <class Rows>
    QM_FN void read(const Rows& rows, int c, Lanes* words) {
        transpose(rows, 48 + 32 * c, words);
        transpose(rows, 64 + 32 * c, words + 4);
        transpose(rows, 16, words + 8);
        transpose(rows, 32, words + 12);
    }
    QM_FN Lanes q(const Lanes* words, int c, int i) {
        const Lanes fifth = bits(right(words[8 + i % 8], 2 * c + i / 8), 0x01010101u);
        return either(bits(i < 8 ? words[i] : right<4>(words[i - 8]), 0x0f0f0f0fu), left<4>(fifth));
    }
};

struct Q6KLanes {
    using Format = Q6K;
    static constexpr int kGroup = 16, kMost = 63, kWords = 12;
    // A chunk is the first or the second half of the four runs of 32 values that share bytes.
    QM_FN constexpr int place(int c, int i) { return 128 * (c / 2) + 16 * (c % 2) + 32 * (i / 4) + 4 * (i % 4); }
    template <class Rows>
    QM_FN void scales(const Rows& rows, LaneScales& s) {
        Lanes words[4];
        transpose(rows, 192, words);
        for (int i = 0; i < 4; i++) {
            s.scale[4 * i] = sign_of_byte(words[i]);
            s.scale[4 * i + 1] = sign_of_byte(right<8>(words[i]));
            s.scale[4 * i + 2] = sign_of_byte(right<16>(words[i]));
            s.scale[4 * i + 3] = sign_of_byte(right<24>(words[i]));
        }
        alignas(64) std::uint32_t halves[kLanes];
        for (std::uint32_t r = 0; r < kLanes; r++) halves[r] = load16(rows.row(static_cast<int>(r)) + 208);
#pragma GCC unroll 1
        for (std::uint32_t r = 0; r < kLanes; r++) s.d[r] = qm_half(halves[r]);
    }
    template <class Rows>
    QM_FN void read(const Rows& rows, int c, Lanes* words) {
        const int half = c / 2, part = 16 * (c % 2);
        transpose(rows, 64 * half + part, words);
        transpose(rows, 64 * half + 32 + part, words + 4);
        transpose(rows, 128 + 32 * half + part, words + 8);
    }
    QM_FN Lanes q(const Lanes* words, int, int i) {
        const Lanes low = words[i % 8], high = words[8 + i % 4];
        const Lanes pair = i < 4 ? left<4>(high) : i < 8 ? left<2>(high) : i < 12 ? high : right<2>(high);
        return either(bits(i < 8 ? low : right<4>(low), 0x0f0f0f0fu), bits(pair, 0x30303030u));
    }
};

}  // namespace qwen3moe::cpu::QM_SIMD

#endif
