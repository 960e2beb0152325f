// Blocks of weights as tensor cores take them: of every run of sixteen values of a row, lane 4 g + t has word t. They
// lie in shared memory in the planes of backend/layout.h. One struct per format, named after the one in unpack.cuh.
#pragma once

#include "cuda/tensor_core.cuh"
#include "cuda/unpack.cuh"

namespace qwen3moe::cuda {

// Sixteen rows of a matrix in shared memory: the planes one after the other.
struct Slot {
    uint offset[4];
    uint bytes;
};

// The block that a warp works on: rows g and g + 8 of a slot.
struct InSlot {
    const char* slot;
    const Slot& shape;
    const Weight& w;
    uint g, t;
    uint block;

    // upper: of row g + 8; bytes: of a block of 256 values in this plane
    template <uint kPlane, uint kBytes>
    __device__ __forceinline__ const char* at(bool upper) const {
        return row<kPlane>(upper ? g + 8 : g) + block * kBytes;
    }
    template <uint kPlane>
    __device__ __forceinline__ const char* sixteen(bool upper, uint group) const {
        return row<kPlane>(upper ? g + 8 : g) + 16 * turned(group, g, w.turn[kPlane]);
    }
    // The lane's words of groups first, first + 1 .. of both rows.
    template <uint kPlane, uint N>
    __device__ __forceinline__ void words(uint first, uint (&to)[2][N]) const {
        const uint lane = 4 * g + t, r = lane & 15;
        const char* from = row<kPlane>(r);
#pragma unroll
        for (uint i = 0; i < N; i += 2) {
            uint four[4];
            load_matrices(from + 16 * turned(first + i + lane / 16, r, w.turn[kPlane]), four);
            to[0][i] = four[0], to[1][i] = four[1], to[0][i + 1] = four[2], to[1][i + 1] = four[3];
        }
    }
    // Of blocks of 32 values, as a row's last 256 may be fewer.
    __device__ __forceinline__ bool has(uint group) const { return 8 * block + group < w.columns / 32; }

  private:
    template <uint kPlane>
    __device__ __forceinline__ const char* row(uint r) const {
        return slot + shape.offset[kPlane] + r * w.row_bytes[kPlane];
    }
};

template <class T>
__device__ __forceinline__ T load_shared(const char* p) {
    return *reinterpret_cast<const T*>(p);
}

// Words<Format> has
//   Half, load(in, half)             the lane's words of 128 values of both rows
//   run(words, r, half, i, t)        its four values of run i of these, as int8
//   kBias                            what is to be taken off every value
// and of super-blocks Head, head(in, upper), scale(head, half, quad) and minimum of the sub-block that is the lane's in
// quad `quad`, factor_bits(in, upper); of blocks of 32 the factors of the lane's, d_bits(in, upper, half).
template <class Format>
struct Words;

struct WordsK4 {
    static constexpr int kBias = 0;
    struct Head {
        uint scales, minima, both;  // from the lane's byte on
    };
    static __device__ __forceinline__ Head head(const InSlot& in, bool upper) {
        const uint4 head = load_shared<uint4>(in.sixteen<0>(upper, in.block));
        return {head.y >> (8 * in.t), head.z >> (8 * in.t), head.w >> (8 * in.t)};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint) {
        return static_cast<int>((half == 0 ? head.scales : qm_k4_second(head.scales, head.both)) & 63u);
    }
    static __device__ __forceinline__ int minimum(const Head& head, uint half, uint) {
        return static_cast<int>((half == 0 ? head.minima : qm_k4_second(head.minima, head.both >> 4)) & 63u);
    }
    static __device__ __forceinline__ uint factor_bits(const InSlot& in, bool upper) {
        return load_shared<uint>(in.sixteen<0>(upper, in.block));
    }
    // Chunks of 32 bytes: low nibbles are two runs, high nibbles the next two.
    static __device__ __forceinline__ uint nibbles(const uint (&q)[4], uint i) {
        return (q[2 * (i >> 2) + (i & 1)] >> (4 * ((i >> 1) & 1))) & 0x0f0f0f0fu;
    }
};

template <>
struct Words<Q4K> : WordsK4 {
    struct Half {
        uint q[2][4];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(8 * in.block + 4 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return nibbles(h.q[r], i); }
};

template <>
struct Words<Q5K> : WordsK4 {
    struct Half {
        uint q[2][4], high[2][2];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(8 * in.block + 4 * half, h.q);
        in.words<2>(2 * in.block, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint half, uint i, uint) {
        return nibbles(h.q[r], i) | (((h.high[r][i & 1] >> (4 * half + (i >> 1))) & 0x01010101u) << 4);
    }
};

template <>
struct Words<Q6K> {
    static constexpr int kBias = 32;
    struct Half {
        uint q[2][4], high[2][2];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(8 * in.block + 4 * half, h.q);
        in.words<3>(4 * in.block + 2 * half, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) {
        const uint low = (h.q[r][2 * ((i >> 1) & 1) + (i & 1)] >> (4 * (i >> 2))) & 0x0f0f0f0fu;
        return low | (((h.high[r][i & 1] >> (2 * (i >> 1))) & 0x03030303u) << 4);
    }
    using Head = const char*;
    static __device__ __forceinline__ Head head(const InSlot& in, bool upper) {
        return in.sixteen<2>(upper, in.block) + in.t;
    }
    static __device__ __forceinline__ int scale(Head head, uint half, uint quad) {
        return load_shared<std::int8_t>(head + 8 * half + 4 * quad);
    }
    static __device__ __forceinline__ uint factor_bits(const InSlot& in, bool upper) {
        return load_shared<std::uint16_t>(in.at<0, 2>(upper));
    }
};

// Value 128 h + 32 j + l is bits 2 j of byte 32 h + l.
struct WordsQ2 {
    static __device__ __forceinline__ uint pairs(const uint (&q)[2], uint i) {
        return (q[i & 1] >> (2 * (i >> 1))) & 0x03030303u;
    }
};

template <>
struct Words<Q2K> : WordsQ2 {
    static constexpr int kBias = 0;
    struct Half {
        uint q[2][2];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(4 * in.block + 2 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return pairs(h.q[r], i); }
    using Head = const char*;
    static __device__ __forceinline__ Head head(const InSlot& in, bool upper) {
        return in.sixteen<2>(upper, in.block) + in.t;
    }
    static __device__ __forceinline__ int scale(Head head, uint half, uint quad) {
        return load_shared<std::uint8_t>(head + 8 * half + 4 * quad) & 15;
    }
    static __device__ __forceinline__ int minimum(Head head, uint half, uint quad) {
        return load_shared<std::uint8_t>(head + 8 * half + 4 * quad) >> 4;
    }
    static __device__ __forceinline__ uint factor_bits(const InSlot& in, bool upper) {
        return load_shared<uint>(in.at<0, 4>(upper));
    }
};

template <>
struct Words<Q3K> : WordsQ2 {
    static constexpr int kBias = 4;
    struct Half {
        uint q[2][2], high[2][2];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(4 * in.block + 2 * half, h.q);
        in.words<3>(2 * in.block, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint half, uint i, uint) {
        return pairs(h.q[r], i) | (((h.high[r][i & 1] >> (4 * half + (i >> 1))) & 0x01010101u) << 2);
    }
    struct Head {
        uint w[3];
        uint t;
    };
    static __device__ __forceinline__ Head head(const InSlot& in, bool upper) {
        const char* at = in.at<2, 12>(upper);
        return {{load_shared<uint>(at), load_shared<uint>(at + 4), load_shared<uint>(at + 8)}, in.t};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint quad) {
        return qm_q3k_scale(head.w[0], head.w[1], head.w[2], 8 * half + 4 * quad + head.t);
    }
    static __device__ __forceinline__ uint factor_bits(const InSlot& in, bool upper) {
        return load_shared<std::uint16_t>(in.at<0, 2>(upper));
    }
};

// Sixteen bytes are 32 values: low nibbles a run, high nibbles the next.
struct WordsStraight {
    struct Half {
        uint q[2][4];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(8 * in.block + 4 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) {
        return (h.q[r][i >> 1] >> (4 * (i & 1))) & 0x0f0f0f0fu;
    }
};

struct WordsIQ4 : WordsStraight {
    static constexpr int kBias = 0;
    // What four nibbles in the bytes of a word stand for.
    static __device__ __forceinline__ uint values(uint nibbles) {
        const uint pairs = nibbles | (nibbles >> 4);
        const uint n = (pairs & 0xffu) | ((pairs >> 8) & 0xff00u);
        const uint first = __byte_perm(0xbfad9881u, 0xf6eaddcfu, n & 0x7777u);
        const uint second = __byte_perm(0x26190d01u, 0x71594535u, n & 0x7777u);
        return __byte_perm(first, second, 0x3210u | ((n & 0x8888u) >> 1));
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint half, uint i, uint t) {
        return values(WordsStraight::run(h, r, half, i, t));
    }
};

template <>
struct Words<IQ4XS> : WordsIQ4 {
    struct Head {
        uint2 w;
        uint t;
    };
    static __device__ __forceinline__ Head head(const InSlot& in, bool upper) {
        return {load_shared<uint2>(in.at<0, 8>(upper)), in.t};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint) {
        return qm_iq4xs_scale(head.w.y, head.w.x >> 16, 4 * half + head.t);
    }
    static __device__ __forceinline__ uint factor_bits(const InSlot& in, bool upper) {
        return load_shared<uint>(in.at<0, 8>(upper));
    }
};

template <uint kBytes>
struct Factors32 {
    static __device__ __forceinline__ uint d_bits(const InSlot& in, bool upper, uint half) {
        const char* at = in.at<0, 8 * kBytes>(upper) + kBytes * (4 * half + in.t);
        if constexpr (kBytes == 4)
            return load_shared<uint>(at);
        else
            return load_shared<std::uint16_t>(at);
    }
};

template <>
struct Words<Q40> : WordsStraight, Factors32<2> {
    static constexpr int kBias = 8;
};
template <>
struct Words<Q41> : WordsStraight, Factors32<4> {
    static constexpr int kBias = 0;
};
template <>
struct Words<IQ4NL> : WordsIQ4, Factors32<2> {};

// Bit l of a word is the fifth bit of value l.
struct WordsFive {
    struct Half {
        uint q[2][4], high[2][4];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(8 * in.block + 4 * half, h.q);
#pragma unroll
        for (uint r = 0; r < 2; r++)
#pragma unroll
            for (uint i = 0; i < 4; i++) h.high[r][i] = load_shared<uint>(in.at<2, 32>(r == 1) + 16 * half + 4 * i);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint t) {
        return ((h.q[r][i >> 1] >> (4 * (i & 1))) & 0x0f0f0f0fu) |
               (spread4(h.high[r][i >> 1] >> (16 * (i & 1) + 4 * t)) << 4);
    }
};
template <>
struct Words<Q50> : WordsFive, Factors32<2> {
    static constexpr int kBias = 16;
};
template <>
struct Words<Q51> : WordsFive, Factors32<4> {
    static constexpr int kBias = 0;
};

template <>
struct Words<Q80> : Factors32<2> {
    static constexpr int kBias = 0;
    struct Half {
        uint q[2][8];
    };
    static __device__ __forceinline__ Half load(const InSlot& in, uint half) {
        Half h;
        in.words<1>(16 * in.block + 8 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return h.q[r][i]; }
};

}  // namespace qwen3moe::cuda
