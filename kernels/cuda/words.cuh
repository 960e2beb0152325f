// Blocks of weights as tensor cores take them: of every run of sixteen values of a row, lane 4 g + t has word t. They
// lie in shared memory in the planes of backend/layout.h. One struct per format, named after the one in unpack.cuh.
#pragma once

#include "cuda/tensor_core.cuh"
#include "cuda/unpack.cuh"

namespace qwen3moe::cuda {

template <class T>
__device__ __forceinline__ T load_shared(const char* p) {
    return *reinterpret_cast<const T*>(p);
}

// Byte i of a word, as int8.
__device__ __forceinline__ int signed_byte(uint word, uint i) {
#if defined(__CUDA_ARCH__)
    int x;
    asm("prmt.b32 %0, %1, 0, %2;" : "=r"(x) : "r"(word), "r"(0x8880u + 0x1111u * i));
    return x;
#else
    return static_cast<int>(word << (24 - 8 * i)) >> 24;
#endif
}

// Words<Format> has
//   Half, load(in, half)             the lane's words of 128 values of both rows
//   run(words, r, half, i, t)        its four values of run i of these, as int8
//   kBias                            what is to be taken off every value
//   kType
// and of super-blocks Head, head(in, upper), scale(head, half, quad) and minimum of the sub-block that is the lane's in
// quad `quad`, factor_bits(in, upper), all of a row's scales as int8, scales(in, upper, to), and the minima of runs 4 t
// .. 4 t + 3, minima(in, upper); of blocks of 32 the factors of the lane's, d_bits(in, upper, half).
template <class Format>
struct Words;

struct WordsK4 {
    static constexpr int kBias = 0;
    struct Head {
        uint scales, minima, both;  // from the lane's byte on
    };
    template <class In>
    static __device__ __forceinline__ Head head(const In& in, bool upper) {
        const uint4 head = load_shared<uint4>(in.template sixteen<0>(upper, in.block));
        return {head.y >> (8 * in.t), head.z >> (8 * in.t), head.w >> (8 * in.t)};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint) {
        return static_cast<int>((half == 0 ? head.scales : qm_k4_second(head.scales, head.both)) & 63u);
    }
    static __device__ __forceinline__ int minimum(const Head& head, uint half, uint) {
        return static_cast<int>((half == 0 ? head.minima : qm_k4_second(head.minima, head.both >> 4)) & 63u);
    }
    template <class In>
    static __device__ __forceinline__ uint factor_bits(const In& in, bool upper) {
        return load_shared<uint>(in.template sixteen<0>(upper, in.block));
    }
    template <class In>
    static __device__ __forceinline__ void scales(const In& in, bool upper, uint (&to)[2]) {
        const uint4 head = load_shared<uint4>(in.template sixteen<0>(upper, in.block));
        to[0] = qm_k4_first(head.y), to[1] = qm_k4_second(head.y, head.w);
    }
    template <class In>
    static __device__ __forceinline__ uint minima(const In& in, bool upper) {
        const uint4 head = load_shared<uint4>(in.template sixteen<0>(upper, in.block));
        const uint four = in.t < 2 ? qm_k4_first(head.z) : qm_k4_second(head.z, head.w >> 4);
        return __byte_perm(four, 0, (in.t & 1) == 0 ? 0x1100 : 0x3322);
    }
    // Chunks of 32 bytes: low nibbles are two runs, high nibbles the next two.
    static __device__ __forceinline__ uint nibbles(const uint (&q)[4], uint i) {
        return (q[2 * (i >> 2) + (i & 1)] >> (4 * ((i >> 1) & 1))) & 0x0f0f0f0fu;
    }
};

template <>
struct Words<Q4K> : WordsK4 {
    static constexpr gguf::Type kType = gguf::Type::Q4_K;
    struct Half {
        uint q[2][4];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(8 * in.block + 4 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return nibbles(h.q[r], i); }
};

template <>
struct Words<Q5K> : WordsK4 {
    static constexpr gguf::Type kType = gguf::Type::Q5_K;
    struct Half {
        uint q[2][4], high[2][2];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(8 * in.block + 4 * half, h.q);
        in.template words<2>(2 * in.block, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint half, uint i, uint) {
        return nibbles(h.q[r], i) | (((h.high[r][i & 1] >> (4 * half + (i >> 1))) & 0x01010101u) << 4);
    }
};

template <>
struct Words<Q6K> {
    static constexpr gguf::Type kType = gguf::Type::Q6_K;
    static constexpr int kBias = 32;
    struct Half {
        uint q[2][4], high[2][2];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(8 * in.block + 4 * half, h.q);
        in.template words<3>(4 * in.block + 2 * half, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) {
        const uint low = (h.q[r][2 * ((i >> 1) & 1) + (i & 1)] >> (4 * (i >> 2))) & 0x0f0f0f0fu;
        return low | (((h.high[r][i & 1] >> (2 * (i >> 1))) & 0x03030303u) << 4);
    }
    using Head = const char*;
    template <class In>
    static __device__ __forceinline__ Head head(const In& in, bool upper) {
        return in.template sixteen<2>(upper, in.block) + in.t;
    }
    static __device__ __forceinline__ int scale(Head head, uint half, uint quad) {
        return load_shared<std::int8_t>(head + 8 * half + 4 * quad);
    }
    template <class In>
    static __device__ __forceinline__ void scales(const In& in, bool upper, uint (&to)[4]) {
        cuda::words(load_shared<uint4>(in.template sixteen<2>(upper, in.block)), to);
    }
    template <class In>
    static __device__ __forceinline__ uint factor_bits(const In& in, bool upper) {
        return load_shared<std::uint16_t>(in.template at<0, 2>(upper));
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
    static constexpr gguf::Type kType = gguf::Type::Q2_K;
    static constexpr int kBias = 0;
    struct Half {
        uint q[2][2];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(4 * in.block + 2 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return pairs(h.q[r], i); }
    using Head = const char*;
    template <class In>
    static __device__ __forceinline__ Head head(const In& in, bool upper) {
        return in.template sixteen<2>(upper, in.block) + in.t;
    }
    static __device__ __forceinline__ int scale(Head head, uint half, uint quad) {
        return load_shared<std::uint8_t>(head + 8 * half + 4 * quad) & 15;
    }
    static __device__ __forceinline__ int minimum(Head head, uint half, uint quad) {
        return load_shared<std::uint8_t>(head + 8 * half + 4 * quad) >> 4;
    }
    template <class In>
    static __device__ __forceinline__ void scales(const In& in, bool upper, uint (&to)[4]) {
        cuda::words(load_shared<uint4>(in.template sixteen<2>(upper, in.block)), to);
        for (uint& four : to) four &= 0x0f0f0f0fu;
    }
    template <class In>
    static __device__ __forceinline__ uint minima(const In& in, bool upper) {
        return (load_shared<uint>(in.template sixteen<2>(upper, in.block) + 4 * in.t) >> 4) & 0x0f0f0f0fu;
    }
    template <class In>
    static __device__ __forceinline__ uint factor_bits(const In& in, bool upper) {
        return load_shared<uint>(in.template at<0, 4>(upper));
    }
};

template <>
struct Words<Q3K> : WordsQ2 {
    static constexpr gguf::Type kType = gguf::Type::Q3_K;
    static constexpr int kBias = 4;
    struct Half {
        uint q[2][2], high[2][2];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(4 * in.block + 2 * half, h.q);
        in.template words<3>(2 * in.block, h.high);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint half, uint i, uint) {
        return pairs(h.q[r], i) | (((h.high[r][i & 1] >> (4 * half + (i >> 1))) & 0x01010101u) << 2);
    }
    struct Head {
        uint w[3];
        uint t;
    };
    template <class In>
    static __device__ __forceinline__ Head head(const In& in, bool upper) {
        const char* at = in.template at<2, 12>(upper);
        return {{load_shared<uint>(at), load_shared<uint>(at + 4), load_shared<uint>(at + 8)}, in.t};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint quad) {
        return qm_q3k_scale(head.w[0], head.w[1], head.w[2], 8 * half + 4 * quad + head.t);
    }
    template <class In>
    static __device__ __forceinline__ void scales(const In& in, bool upper, uint (&to)[4]) {
        const Head from = head(in, upper);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint low = (from.w[i & 1] >> (4 * (i >> 1))) & 0x0f0f0f0fu;
            to[i] = minus4(low | (((from.w[2] >> (2 * i)) & 0x03030303u) << 4), 32);
        }
    }
    template <class In>
    static __device__ __forceinline__ uint factor_bits(const In& in, bool upper) {
        return load_shared<std::uint16_t>(in.template at<0, 2>(upper));
    }
};

// Sixteen bytes are 32 values: low nibbles a run, high nibbles the next.
struct WordsStraight {
    struct Half {
        uint q[2][4];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(8 * in.block + 4 * half, h.q);
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
    static constexpr gguf::Type kType = gguf::Type::IQ4_XS;
    struct Head {
        uint2 w;
        uint t;
    };
    template <class In>
    static __device__ __forceinline__ Head head(const In& in, bool upper) {
        return {load_shared<uint2>(in.template at<0, 8>(upper)), in.t};
    }
    static __device__ __forceinline__ int scale(const Head& head, uint half, uint) {
        return qm_iq4xs_scale(head.w.y, head.w.x >> 16, 4 * half + head.t);
    }
    template <class In>
    static __device__ __forceinline__ void scales(const In& in, bool upper, uint (&to)[2]) {
        const uint2 from = load_shared<uint2>(in.template at<0, 8>(upper));
        to[0] = to[1] = 0;
#pragma unroll
        for (uint j = 0; j < 8; j++)
            to[j / 4] |= (static_cast<uint>(qm_iq4xs_scale(from.y, from.x >> 16, j)) & 255u) << (8 * (j & 3));
    }
    template <class In>
    static __device__ __forceinline__ uint factor_bits(const In& in, bool upper) {
        return load_shared<uint>(in.template at<0, 8>(upper));
    }
};

template <uint kBytes>
struct Factors32 {
    template <class In>
    static __device__ __forceinline__ uint d_bits(const In& in, bool upper, uint half) {
        const char* at = in.template at<0, 8 * kBytes>(upper) + kBytes * (4 * half + in.t);
        if constexpr (kBytes == 4)
            return load_shared<uint>(at);
        else
            return load_shared<std::uint16_t>(at);
    }
};

template <>
struct Words<Q40> : WordsStraight, Factors32<2> {
    static constexpr gguf::Type kType = gguf::Type::Q4_0;
    static constexpr int kBias = 8;
};
template <>
struct Words<Q41> : WordsStraight, Factors32<4> {
    static constexpr gguf::Type kType = gguf::Type::Q4_1;
    static constexpr int kBias = 0;
};
template <>
struct Words<IQ4NL> : WordsIQ4, Factors32<2> {
    static constexpr gguf::Type kType = gguf::Type::IQ4_NL;
};

// Bit l of a word is the fifth bit of value l.
struct WordsFive {
    struct Half {
        uint q[2][4], high[2][4];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(8 * in.block + 4 * half, h.q);
#pragma unroll
        for (uint r = 0; r < 2; r++)
#pragma unroll
            for (uint i = 0; i < 4; i++)
                h.high[r][i] = load_shared<uint>(in.template at<2, 32>(r == 1) + 16 * half + 4 * i);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint t) {
        return ((h.q[r][i >> 1] >> (4 * (i & 1))) & 0x0f0f0f0fu) |
               (spread4(h.high[r][i >> 1] >> (16 * (i & 1) + 4 * t)) << 4);
    }
};
template <>
struct Words<Q50> : WordsFive, Factors32<2> {
    static constexpr gguf::Type kType = gguf::Type::Q5_0;
    static constexpr int kBias = 16;
};
template <>
struct Words<Q51> : WordsFive, Factors32<4> {
    static constexpr gguf::Type kType = gguf::Type::Q5_1;
    static constexpr int kBias = 0;
};

template <>
struct Words<Q80> : Factors32<2> {
    static constexpr gguf::Type kType = gguf::Type::Q8_0;
    static constexpr int kBias = 0;
    struct Half {
        uint q[2][8];
    };
    template <class In>
    static __device__ __forceinline__ Half load(const In& in, uint half) {
        Half h;
        in.template words<1>(16 * in.block + 8 * half, h.q);
        return h;
    }
    static __device__ __forceinline__ uint run(const Half& h, uint r, uint, uint i, uint) { return h.q[r][i]; }
};

}  // namespace qwen3moe::cuda
