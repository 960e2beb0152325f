// A few rows of weights times one row of activations, by one warp: groups of eight lanes hold a block of 256 weights of
// each row, a lane a part of it. Integer sums meet in any order; the blocks' floats are added in theirs.
#pragma once

#include "cuda/tree.cuh"
#include "cuda/unpack.cuh"

namespace qwen3moe::cuda {

template <uint N>
struct Constant {
    constexpr __host__ __device__ operator uint() const { return N; }
};

// f(0), f(1) .. f(N - 1), each with a constant to index arrays of registers by.
template <uint N, class F>
__device__ __forceinline__ void unrolled(F f) {
    if constexpr (N > 0) {
        unrolled<N - 1>(f);
        f(Constant<N - 1>{});
    }
}

// The same value. Without it a choice between two elements of an array may become a choice of addresses, and the array
// memory.
__device__ __forceinline__ uint in_register(uint x) {
#if defined(__CUDA_ARCH__)
    asm("" : "+r"(x));
#endif
    return x;
}

// Sixteen weights times sixteen of one digit.
__device__ __forceinline__ int dot16(const int (&q)[4], int4 x) {
    return __dp4a(q[0], x.x, __dp4a(q[1], x.y, __dp4a(q[2], x.z, __dp4a(q[3], x.w, 0))));
}

// Sums N values, each over the eight lanes of a group; lane k is left with the sum of value k * N / 8.
template <int N, class T, class Add>
__device__ __forceinline__ T spread_sum(T (&v)[N], uint k, Add add) {
    int n = N;
#pragma unroll
    for (uint step = 4; step > 0; step /= 2) {
        const bool upper = (k & step) != 0;
        if (n > 1) {
            n /= 2;
#pragma unroll
            for (int i = 0; i < n; i++) {
                const T sent = upper ? v[i] : v[i + n];
                const T kept = upper ? v[i + n] : v[i];
                v[i] = add(kept, __shfl_xor_sync(kAllLanes, sent, step));
            }
        } else {
            v[0] = add(v[0], __shfl_xor_sync(kAllLanes, v[0], step));
        }
    }
    return v[0];
}

// The activations of one part: two runs of sixteen.
struct Runs {
    int4 high[2];
    int4 low[2];
    int sums[2];
};

// Of kRows rows, the one whose result lane k of a group is left with.
template <uint kRows>
__device__ __forceinline__ uint own_row(uint k) {
    return k * kRows / 8;
}

// What this group's block adds to the lane's own row. inside: of blocks of 32, whether the lane's is in the row.
template <class Format, uint kRows>
__device__ __forceinline__ float block_term(const typename Format::Raw (&raw)[kRows], const Runs& x, float dx, uint k,
                                            bool inside) {
    if constexpr (Format::kSuper) {
        const auto add = [](int a, int b) { return a + b; };
        int digits[2 * kRows], minima[kRows];
        uint own = 0;
#pragma unroll
        for (uint r = 0; r < kRows; r++) {
            Part p;
            Format::unpack(raw[r], k, p);
            digits[2 * r] = p.scale[0] * dot16(p.q[0], x.high[0]) + p.scale[1] * dot16(p.q[1], x.high[1]);
            digits[2 * r + 1] = p.scale[0] * dot16(p.q[0], x.low[0]) + p.scale[1] * dot16(p.q[1], x.low[1]);
            if constexpr (Format::kMin) minima[r] = p.minimum[0] * x.sums[0] + p.minimum[1] * x.sums[1];
            const uint bits = in_register(Format::factor_bits(raw[r]));
            own = own_row<kRows>(k) == r ? bits : own;
        }
        const Factors f = factors_of<Format>(own);
        constexpr uint kOther = 4 / kRows;  // the lane that has the other digit
        const int mine = spread_sum(digits, k, add);
        const int other = __shfl_xor_sync(kAllLanes, mine, kOther);
        const int high = (k & kOther) ? other : mine;
        const int low = (k & kOther) ? mine : other;
        if constexpr (Format::kMin) return qm_term_min(f.d, f.dmin, dx, high, low, spread_sum(minima, k, add));
        return qm_term(f.d, dx, high, low);
    } else {
        float groups[kRows];
#pragma unroll
        for (uint r = 0; r < kRows; r++) {
            Part p;
            Format::unpack(raw[r], k, p);
            const int high = dot16(p.q[0], x.high[0]) + dot16(p.q[1], x.high[1]);
            const int low = dot16(p.q[0], x.low[0]) + dot16(p.q[1], x.low[1]);
            if constexpr (Format::kMin)
                groups[r] = inside ? qm_group_min(p.d, p.dmin, high, low, x.sums[0] + x.sums[1]) : 0.0f;
            else
                groups[r] = inside ? qm_group(p.d, high, low) : 0.0f;
        }
        // With steps of 4, 2 and 1 this is qm_sum8 of the eight lanes' groups.
        return qm_term32(dx, spread_sum(groups, k, [](float a, float b) { return qm_add(a, b); }));
    }
}

// Adds the terms of the four groups' blocks, first .. first + 3, in their order.
__device__ __forceinline__ float add_terms(float sum, float term, uint first, uint blocks) {
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        const float next = __shfl_sync(kAllLanes, term, 8 * i + (threadIdx.x & 7));
        if (first + i < blocks) sum = qm_add(sum, next);
    }
    return sum;
}

// Where a warp is in its work: items 0 .. items - 1 of tiles first, first + stride, ... below end.
struct Cursor {
    uint tile;
    uint item;

    __device__ __forceinline__ void advance(uint items, uint stride) {
        if (++item == items) {
            item = 0;
            tile += stride;
        }
    }
};

// Loads of weights that go kDepth items ahead of their use. load(cursor, raw) and use(cursor, raw).
template <class Format, uint kRows, uint kDepth>
struct Ahead {
    typename Format::Raw raw[kDepth][kRows];
    Cursor next;

    template <class Load>
    __device__ __forceinline__ void start(uint first, uint end, uint stride, uint items, Load load) {
        next = {first, 0};
        unrolled<kDepth>([&](auto d) {
            if (next.tile >= end) return;
            load(next, raw[d]);
            next.advance(items, stride);
        });
    }

    template <class Load, class Use>
    __device__ __forceinline__ void run(uint first, uint end, uint stride, uint items, Load load, Use use) {
        Cursor now{first, 0};
        while (now.tile < end) {
            unrolled<kDepth>([&](auto d) {
                if (now.tile >= end) return;
                use(now, raw[d]);
                now.advance(items, stride);
                if (next.tile >= end) return;
                load(next, raw[d]);
                next.advance(items, stride);
            });
        }
    }
};

}  // namespace qwen3moe::cuda
