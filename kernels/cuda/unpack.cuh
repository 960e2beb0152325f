// A part of a weight block as integers: 32 of its 256 values as two runs of 16, with their scales. One struct per
// format. A row is taken in blocks of 256 values, a block in eight parts; formats of 32 values make a part of each
// block.
#pragma once

#include "cuda/steps.h"
#include "gguf/types.h"
#include "shared/blocks.h"

namespace qwen3moe::cuda {

struct Part {
    int q[2][4];     // sixteen int8 in each run
    int scale[2];    // of super-blocks
    int minimum[2];  // of super-blocks with minima
    float d;         // of blocks of 32
    float dmin;      // of blocks of 32 with a minimum: the minimum itself, added
};

// Every half is a float, so that the device's own conversion has nothing to round.
__device__ __forceinline__ float half_to_float(uint bits) {
#if defined(__CUDA_ARCH__)
    float x;
    asm("{ .reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(x) : "r"(bits));
    return x;
#else
    return qm_half(bits & 0xffffu);
#endif
}

struct Factors {  // of a super-block
    float d;
    float dmin;
};
// From its bits: d, and above them dmin where there are minima.
template <class Format>
__device__ __forceinline__ Factors factors_of(uint bits) {
    return {half_to_float(bits), Format::kMin ? half_to_float(bits >> 16) : 0.0f};
}

template <class T>
__device__ __forceinline__ T load(const std::uint8_t* p) {
    return __ldg(reinterpret_cast<const T*>(p));
}
// Sixteen bytes of a row of a plane.
__device__ __forceinline__ const std::uint8_t* sixteen(const Weight& w, uint plane, std::size_t row, uint group) {
    return w.plane[plane] + row * w.row_bytes[plane] + 16 * turned(group, row, w.turn[plane]);
}
__device__ __forceinline__ void words(uint4 from, uint (&to)[4]) {
    to[0] = from.x, to[1] = from.y, to[2] = from.z, to[3] = from.w;
}

// Four bytes below 128, less `bias` each: no borrow leaves a byte.
__device__ __forceinline__ int minus4(uint x, uint bias) {
    return static_cast<int>(((x | 0x80808080u) - bias * 0x01010101u) ^ 0x80808080u);
}
// Bit i of four goes to byte i.
__device__ __forceinline__ uint spread4(uint bits) { return ((bits & 15u) * 0x00204081u) & 0x01010101u; }

__device__ __forceinline__ void nibbles(uint4 from, int (&q)[2][4]) {
    uint w[4];
    words(from, w);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        q[0][i] = static_cast<int>(w[i] & 0x0f0f0f0fu);
        q[1][i] = static_cast<int>((w[i] >> 4) & 0x0f0f0f0fu);
    }
}

// The sixteen values of IQ4 that a nibble stands for, eight nibbles at a time.
__device__ __forceinline__ void iq4_values(uint4 from, int (&q)[2][4]) {
    uint w[4];
    words(from, w);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint pair[2];  // low, high, low, high of two bytes
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const uint n = (w[i] >> (16 * j)) & 0xffffu;
            const uint first = __byte_perm(0xbfad9881u, 0xf6eaddcfu, n & 0x7777u);
            const uint second = __byte_perm(0x26190d01u, 0x71594535u, n & 0x7777u);
            pair[j] = __byte_perm(first, second, 0x3210u | ((n & 0x8888u) >> 1));
        }
        q[0][i] = static_cast<int>(__byte_perm(pair[0], pair[1], 0x6420u));
        q[1][i] = static_cast<int>(__byte_perm(pair[0], pair[1], 0x7531u));
    }
}

// Every format has `fetch`, which only loads, and `unpack`, which only computes, so that loads can go ahead of need.
// run(k, i): which 16 of a block's 256 values run i of part k is.

// ---- super-blocks of 256 with integer scales

struct Super {
    static constexpr bool kSuper = true;
    static __device__ std::size_t index(const Weight& w, std::size_t row, uint block) {
        return row * (w.columns / 256) + block;
    }
};

// Parts of 16 bytes whose low nibbles are one run and high nibbles the run two further on.
struct SuperK4 : Super {
    static constexpr bool kMin = true;
    static constexpr int kRun = 32;  // values that share a scale
    static constexpr __host__ __device__ uint run(uint k, uint i) { return 4 * (k >> 1) + 2 * i + (k & 1); }
    static __device__ __forceinline__ void scales(uint4 head, uint k, Part& p) {
#pragma unroll
        for (uint i = 0; i < 2; i++) {
            const uint j = 2 * (k >> 1) + i;
            p.scale[i] = qm_k4_scale(head.y, head.w, j);
            p.minimum[i] = qm_k4_min(head.z, head.w, j);
        }
    }
};

struct Q4K : SuperK4 {
    struct Raw {
        uint4 head, q;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        return {load<uint4>(sixteen(w, 0, row, block)), load<uint4>(sixteen(w, 1, row, 8 * block + k))};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        nibbles(raw.q, p.q);
        scales(raw.head, k, p);
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.head.x; }
};

struct Q5K : SuperK4 {
    struct Raw {
        uint4 head, q, high;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        return {load<uint4>(sixteen(w, 0, row, block)), load<uint4>(sixteen(w, 1, row, 8 * block + k)),
                load<uint4>(sixteen(w, 2, row, 2 * block + (k & 1)))};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        nibbles(raw.q, p.q);
        uint high[4];
        words(raw.high, high);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                p.q[i][j] |= static_cast<int>(((high[j] >> (2 * (k >> 1) + i)) & 0x01010101u) << 4);
        scales(raw.head, k, p);
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.head.x; }
};

struct Q6K : Super {
    static constexpr bool kMin = false;
    static constexpr int kRun = 16;
    static constexpr __host__ __device__ uint run(uint k, uint i) { return 8 * (k >> 2) + 4 * i + (k & 3); }
    struct Raw {
        uint4 q, high;
        uint2 scales;
        uint d;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const std::size_t b = index(w, row, block);
        return {load<uint4>(sixteen(w, 1, row, 8 * block + k)),
                load<uint4>(sixteen(w, 3, row, 4 * block + 2 * (k >> 2) + (k & 1))),
                load<uint2>(sixteen(w, 2, row, block) + 8 * (k >> 2)), load<std::uint16_t>(w.plane[0] + b * 2)};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        nibbles(raw.q, p.q);
        uint high[4];  // two bits of a value: of the quarters of 128 values, bits 0, 2, 4, 6
        words(raw.high, high);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint shift = 2 * ((k >> 1) & 1) + 4 * i;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const uint six = static_cast<uint>(p.q[i][j]) | (((high[j] >> shift) & 0x03030303u) << 4);
                p.q[i][j] = minus4(six, 32);
            }
        }
        p.scale[0] = static_cast<std::int8_t>(raw.scales.x >> (8 * (k & 3)));
        p.scale[1] = static_cast<std::int8_t>(raw.scales.y >> (8 * (k & 3)));
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.d; }
};

// Q2_K and Q3_K: value 128 h + 32 j + l is bits 2 j of byte 32 h + l. A part is half of the bytes' 32 and two j.
struct SuperQ2 : Super {
    static constexpr int kRun = 16;
    static constexpr __host__ __device__ uint j(uint k, uint i) { return 2 * (k & 1) + i; }
    static constexpr __host__ __device__ uint half(uint k) { return (k >> 1) & 1; }  // of the 32 bytes
    static constexpr __host__ __device__ uint run(uint k, uint i) { return 8 * (k >> 2) + 2 * j(k, i) + half(k); }
    static __device__ __forceinline__ uint4 load_pairs(const Weight& w, std::size_t row, uint block, uint k) {
        return load<uint4>(sixteen(w, 1, row, 4 * block + 2 * (k >> 2) + half(k)));
    }
    static __device__ __forceinline__ void pairs(uint4 from, uint k, Part& p) {
        uint qs[4];
        words(from, qs);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int l = 0; l < 4; l++) p.q[i][l] = static_cast<int>((qs[l] >> (2 * j(k, i))) & 0x03030303u);
    }
};

struct Q2K : SuperQ2 {
    static constexpr bool kMin = true;
    struct Raw {
        uint4 q;
        uint scales, d;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const std::size_t b = index(w, row, block);
        return {load_pairs(w, row, block, k), load<uint>(sixteen(w, 2, row, block) + 8 * (k >> 2) + 4 * (k & 1)),
                load<uint>(w.plane[0] + b * 4)};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        pairs(raw.q, k, p);
#pragma unroll
        for (uint i = 0; i < 2; i++) {
            const uint both = raw.scales >> (8 * (2 * i + half(k)));
            p.scale[i] = static_cast<int>(both & 15u);
            p.minimum[i] = static_cast<int>((both >> 4) & 15u);
        }
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.d; }
};

struct Q3K : SuperQ2 {
    static constexpr bool kMin = false;
    struct Raw {
        uint4 q, high;
        uint scales[3];
        uint d;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const std::size_t b = index(w, row, block);
        const std::uint8_t* packed = w.plane[2] + b * 12;
        return {load_pairs(w, row, block, k),
                load<uint4>(sixteen(w, 3, row, 2 * block + half(k))),
                {load<uint>(packed), load<uint>(packed + 4), load<uint>(packed + 8)},
                load<std::uint16_t>(w.plane[0] + b * 2)};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        pairs(raw.q, k, p);
        uint high[4];  // the third bit: bit 4 h + j of byte l
        words(raw.high, high);
#pragma unroll
        for (uint i = 0; i < 2; i++) {
            const uint shift = 4 * (k >> 2) + j(k, i);
#pragma unroll
            for (int l = 0; l < 4; l++) {
                const uint three = static_cast<uint>(p.q[i][l]) | (((high[l] >> shift) & 0x01010101u) << 2);
                p.q[i][l] = minus4(three, 4);
            }
            p.scale[i] = qm_q3k_scale(raw.scales[0], raw.scales[1], raw.scales[2], run(k, i));
        }
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.d; }
};

// Runs that follow each other.
struct Straight {
    static constexpr __host__ __device__ uint run(uint k, uint i) { return 2 * k + i; }
};

struct IQ4XS : Super, Straight {
    static constexpr bool kMin = false;
    static constexpr int kRun = 32;
    struct Raw {
        uint4 q;
        uint2 head;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const std::size_t b = index(w, row, block);
        return {load<uint4>(sixteen(w, 1, row, 8 * block + k)), load<uint2>(w.plane[0] + b * 8)};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint k, Part& p) {
        iq4_values(raw.q, p.q);
        p.scale[0] = p.scale[1] = qm_iq4xs_scale(raw.head.y, raw.head.x >> 16, k);
    }
    static __device__ __forceinline__ uint factor_bits(const Raw& raw) { return raw.head.x; }
};

// ---- blocks of 32 with a float scale: part k is block 8 * block + k of the row; zero past the row's end

template <uint kFactorBytes>
struct Small : Straight {
    static constexpr bool kSuper = false;
    static constexpr bool kMin = kFactorBytes == 4;
    struct Raw {
        uint4 q;
        uint d;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const uint groups = w.columns / 32;
        const uint group = 8 * block + k;
        if (group >= groups) return {};
        const std::size_t b = row * groups + group;
        return {load<uint4>(sixteen(w, 1, row, group)), load_d(w, b)};
    }
    static __device__ __forceinline__ uint load_d(const Weight& w, std::size_t b) {
        if constexpr (kMin)
            return load<uint>(w.plane[0] + b * 4);
        else
            return load<std::uint16_t>(w.plane[0] + b * 2);
    }
    static __device__ __forceinline__ void unpack_d(uint d, Part& p) {
        p.d = half_to_float(d);
        if constexpr (kMin) p.dmin = half_to_float(d >> 16);
    }
    static __device__ __forceinline__ void bias(Part& p, uint by) {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) p.q[i][j] = minus4(static_cast<uint>(p.q[i][j]), by);
    }
};

struct Q80 : Straight {
    static constexpr bool kSuper = false;
    static constexpr bool kMin = false;
    struct Raw {
        uint4 q[2];
        uint d;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const uint groups = w.columns / 32;
        const uint group = 8 * block + k;
        if (group >= groups) return {};
        const std::size_t b = row * groups + group;
        return {{load<uint4>(sixteen(w, 1, row, 2 * group)), load<uint4>(sixteen(w, 1, row, 2 * group + 1))},
                load<std::uint16_t>(w.plane[0] + b * 2)};
    }
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) {
        p.d = half_to_float(raw.d);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            uint q[4];
            words(raw.q[i], q);
#pragma unroll
            for (int j = 0; j < 4; j++) p.q[i][j] = static_cast<int>(q[j]);
        }
    }
};

struct Q40 : Small<2> {
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) {
        unpack_d(raw.d, p);
        nibbles(raw.q, p.q);
        bias(p, 8);
    }
};

struct Q41 : Small<4> {
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) {
        unpack_d(raw.d, p);
        nibbles(raw.q, p.q);
    }
};

struct IQ4NL : Small<2> {
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) {
        unpack_d(raw.d, p);
        iq4_values(raw.q, p.q);
    }
};

template <uint kFactorBytes>
struct SmallFive : Small<kFactorBytes> {
    struct Raw {
        uint4 q;
        uint d;
        uint high;
    };
    static __device__ __forceinline__ Raw fetch(const Weight& w, std::size_t row, uint block, uint k) {
        const uint groups = w.columns / 32;
        const uint group = 8 * block + k;
        if (group >= groups) return {};
        const std::size_t b = row * groups + group;
        return {load<uint4>(sixteen(w, 1, row, group)), Small<kFactorBytes>::load_d(w, b),
                load<uint>(w.plane[2] + b * 4)};
    }
    // Bit l of a word is the fifth bit of value l.
    static __device__ __forceinline__ void values(const Raw& raw, Part& p) {
        Small<kFactorBytes>::unpack_d(raw.d, p);
        nibbles(raw.q, p.q);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) p.q[i][j] |= static_cast<int>(spread4(raw.high >> (16 * i + 4 * j)) << 4);
    }
};

struct Q50 : SmallFive<2> {
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) {
        values(raw, p);
        bias(p, 16);
    }
};

struct Q51 : SmallFive<4> {
    static __device__ __forceinline__ void unpack(const Raw& raw, uint, Part& p) { values(raw, p); }
};

// ---- plain floats

struct F32 {
    static __device__ __forceinline__ float at(const Weight& w, std::size_t i) {
        return qm_from_bits(load<uint>(w.plane[0] + i * 4));
    }
};
struct F16 {
    static __device__ __forceinline__ float at(const Weight& w, std::size_t i) {
        return qm_half(load<std::uint16_t>(w.plane[0] + i * 2));
    }
};
struct BF16 {
    static __device__ __forceinline__ float at(const Weight& w, std::size_t i) {
        return qm_bfloat(load<std::uint16_t>(w.plane[0] + i * 2));
    }
};

// Calls `floats` or `blocks` with the format of a type, as an empty value.
template <class Floats, class Blocks>
cudaError_t with_format(uint type, Floats floats, Blocks blocks) {
    using gguf::Type;
    switch (static_cast<Type>(type)) {
        case Type::F32:
            return floats(F32{});
        case Type::F16:
            return floats(F16{});
        case Type::BF16:
            return floats(BF16{});
        case Type::Q8_0:
            return blocks(Q80{});
        case Type::Q4_0:
            return blocks(Q40{});
        case Type::Q4_1:
            return blocks(Q41{});
        case Type::Q5_0:
            return blocks(Q50{});
        case Type::Q5_1:
            return blocks(Q51{});
        case Type::IQ4_NL:
            return blocks(IQ4NL{});
        case Type::Q2_K:
            return blocks(Q2K{});
        case Type::Q3_K:
            return blocks(Q3K{});
        case Type::Q4_K:
            return blocks(Q4K{});
        case Type::Q5_K:
            return blocks(Q5K{});
        case Type::Q6_K:
            return blocks(Q6K{});
        case Type::IQ4_XS:
            return blocks(IQ4XS{});
    }
    return cudaErrorInvalidValue;
}

}  // namespace qwen3moe::cuda
