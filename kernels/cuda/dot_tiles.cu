// Many slots: 64 rows of weights are unpacked once for up to 32 slots, and multiplied by integer tensor cores. A warp
// has 16 rows of its own; the slots' activations are shared by four warps.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"
#include "cuda/tensor_core.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kThreads = 32 * kWarps;
constexpr uint kRows = 16;            // of a warp
constexpr uint kColumns = kTile / 8;  // of tensor core tiles
constexpr uint kStride = 256 + 16;    // bytes of a row of weights: the padding keeps eight rows in different banks
constexpr uint kInputStride = 256 + 32;
constexpr uint kSumDigits = 3;

struct alignas(16) Shared {
    std::int8_t weights[kWarps][kRows * kStride];
    std::int8_t x[2][kTile * kInputStride];      // high and low digits, in pairs as `keep_inputs` says
    std::int8_t sums[kSumDigits][kTile * kRun];  // of X over runs of 16, to the base of 256; for super-blocks
    int group_sums[kTile][8 + 1];                // of X over 32; for the others
    float dx[kTile];
    float d[kWarps][kRows][8];  // super-blocks use the first only
    float dmin[kWarps][kRows][8];
    std::int8_t scale[kWarps][kRows][16];
    std::int8_t minimum[kWarps][kRows][16];
};

// What a thread loads of a block of 256, while the block before it is multiplied.
template <class Format>
struct Loads {
    static constexpr uint kPairs = kTile * 8 / kThreads;  // of runs of sixteen activations
    static constexpr uint kParts = kRows / 4;             // of rows of weights
    int4 high[kPairs][2], low[kPairs][2];
    int2 sums[kPairs];
    float dx;
    typename Format::Raw raw[kParts];
};

// The rows of activations that a thread loads from: kNone where there is no slot.
template <class Format>
struct Sources {
    static constexpr uint kNone = ~0u;
    uint pair[Loads<Format>::kPairs];
    uint dx;

    __device__ Sources(const Product& p, const Slots& slots) {
        const auto row_of = [&](uint i) { return i < slots.count ? slots.slot(i) / p.slots_per_row : kNone; };
#pragma unroll
        for (uint n = 0; n < Loads<Format>::kPairs; n++) pair[n] = row_of((threadIdx.x + kThreads * n) / 8);
        dx = row_of(threadIdx.x);
    }
};

// Slots past the count are zero.
template <class Format>
__device__ __forceinline__ void load_inputs(const Product& p, const Sources<Format>& from, uint block,
                                            Loads<Format>& l) {
    const uint blocks = p.in.blocks();
#pragma unroll
    for (uint n = 0; n < Loads<Format>::kPairs; n++) {
        if (from.pair[n] != Sources<Format>::kNone) {
            const std::size_t at = (std::size_t(from.pair[n]) * blocks + block) * 8 + threadIdx.x % 8;
#pragma unroll
            for (uint h = 0; h < 2; h++) {
                l.high[n][h] = reinterpret_cast<const int4*>(p.in.high)[2 * at + h];
                l.low[n][h] = reinterpret_cast<const int4*>(p.in.low)[2 * at + h];
            }
            if constexpr (Format::kMin) l.sums[n] = reinterpret_cast<const int2*>(p.in.sums)[at];
        } else {
            l.high[n][0] = l.high[n][1] = l.low[n][0] = l.low[n][1] = {};
            l.sums[n] = {};
        }
    }
    l.dx = from.dx != Sources<Format>::kNone ? p.in.scale[std::size_t(from.dx) * blocks + block] : 0.0f;
}

// The low digit of a sum to the base of 256; what is left of it.
__device__ __forceinline__ int take_digit(int& sum) {
    const int digit = static_cast<std::int8_t>(sum);
    sum = (sum - digit) >> 8;
    return digit & 255;
}

// Words of two neighbouring runs take turns, so that a lane gets its two by one load.
template <class Format>
__device__ __forceinline__ void keep_inputs(const Loads<Format>& l, Shared& s) {
    const auto keep = [](std::int8_t* to, const int4(&run)[2]) {
        reinterpret_cast<int4*>(to)[0] = make_int4(run[0].x, run[1].x, run[0].y, run[1].y);
        reinterpret_cast<int4*>(to)[1] = make_int4(run[0].z, run[1].z, run[0].w, run[1].w);
    };
#pragma unroll
    for (uint n = 0; n < Loads<Format>::kPairs; n++) {
        const uint i = threadIdx.x + kThreads * n;
        const uint slot = i / 8, pair = i % 8;
        keep(&s.x[0][slot * kInputStride + 32 * pair], l.high[n]);
        keep(&s.x[1][slot * kInputStride + 32 * pair], l.low[n]);
        if constexpr (Format::kMin) {
            int first = l.sums[n].x, second = l.sums[n].y;
            if constexpr (!Format::kSuper) s.group_sums[slot][pair] = first + second;
#pragma unroll
            for (uint digit = 0; digit < kSumDigits; digit++)
                *reinterpret_cast<std::uint16_t*>(&s.sums[digit][slot * kRun + 2 * pair]) =
                    static_cast<std::uint16_t>(take_digit(first) | take_digit(second) << 8);
        }
    }
    if (threadIdx.x < kTile) s.dx[threadIdx.x] = l.dx;
}

// The warp's rows; those past the last repeat it.
template <class Format>
__device__ __forceinline__ void load_weights(const Job& job, std::size_t matrix, uint row0, uint block,
                                             Loads<Format>& l) {
    const uint lane = threadIdx.x & 31;
#pragma unroll
    for (uint i = 0; i < Loads<Format>::kParts; i++)
        l.raw[i] = Format::fetch(job.w, matrix + min(row0 + 4 * i + lane / 8, job.rows - 1), block, lane & 7);
}

template <class Format>
__device__ __forceinline__ void keep_weights(const Loads<Format>& l, Shared& s) {
    const uint lane = threadIdx.x & 31, warp = threadIdx.x / 32, k = lane & 7;
#pragma unroll
    for (uint i = 0; i < Loads<Format>::kParts; i++) {
        const uint r = 4 * i + lane / 8;
        Part part;
        Format::unpack(l.raw[i], k, part);
#pragma unroll
        for (uint h = 0; h < 2; h++) {
            const uint run = Format::run(k, h);
            *reinterpret_cast<int4*>(&s.weights[warp][r * kStride + 16 * run]) =
                make_int4(part.q[h][0], part.q[h][1], part.q[h][2], part.q[h][3]);
            if constexpr (Format::kSuper) {
                s.scale[warp][r][run] = static_cast<std::int8_t>(part.scale[h]);
                if constexpr (Format::kMin) s.minimum[warp][r][run] = static_cast<std::int8_t>(part.minimum[h]);
            }
        }
        if constexpr (Format::kSuper) {
            const Factors f = factors_of<Format>(Format::factor_bits(l.raw[i]));
            if (k == 0) {
                s.d[warp][r][0] = f.d;
                s.dmin[warp][r][0] = f.dmin;
            }
        } else {
            s.d[warp][r][k] = part.d;
            if constexpr (Format::kMin) s.dmin[warp][r][k] = part.dmin;
        }
    }
}

// What a lane holds of 32 columns of its warp's rows, and of a slot's digit.
__device__ __forceinline__ void weight_words(const Shared& s, uint sub, int (&a)[4]) {
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    const std::int8_t* at = &s.weights[threadIdx.x / 32][g * kStride + 32 * sub + 4 * t];
    a[0] = *reinterpret_cast<const int*>(at);
    a[1] = *reinterpret_cast<const int*>(at + 8 * kStride);
    a[2] = *reinterpret_cast<const int*>(at + 16);
    a[3] = *reinterpret_cast<const int*>(at + 8 * kStride + 16);
}
__device__ __forceinline__ void input_words(const Shared& s, uint digit, uint n, uint sub, int (&b)[2]) {
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    const int2 both = *reinterpret_cast<const int2*>(&s.x[digit][(8 * n + g) * kInputStride + 32 * sub + 8 * t]);
    b[0] = both.x;
    b[1] = both.y;
}

// Minima times sums of X, digit by digit.
__device__ __forceinline__ void weigh_minima(const Shared& s, uint n, int (&M)[4]) {
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    const auto& rows = s.minimum[threadIdx.x / 32];
    const int a0 = *reinterpret_cast<const int*>(&rows[g][4 * t]),
              a1 = *reinterpret_cast<const int*>(&rows[g + 8][4 * t]);
#pragma unroll
    for (uint digit = kSumDigits; digit-- > 0;) {
        int c[4] = {};
        multiply16(c, a0, a1, *reinterpret_cast<const int*>(&s.sums[digit][(8 * n + g) * kRun + 4 * t]));
#pragma unroll
        for (uint i = 0; i < 4; i++) M[i] = 256 * M[i] + c[i];
    }
}

using Sums =
    float[kColumns][4];  // rows g and g + 8, slots 2 t and 2 t + 1 of each eight, as the tensor cores have them

// Adds a block's terms of formats with integer scales.
template <class Format>
__device__ __forceinline__ void add_super(const Shared& s, uint count, Sums& sums) {
    const uint warp = threadIdx.x / 32, g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    int total[2][kColumns][4] = {};
#pragma unroll 4
    for (uint sub = 0; sub < 8; sub++) {
        int a[4];
        weight_words(s, sub, a);
        int scale[2][2];  // [run][row]
#pragma unroll
        for (uint i = 0; i < 2; i++)
#pragma unroll
            for (uint r = 0; r < 2; r++) scale[i][r] = s.scale[warp][g + 8 * r][2 * sub + i];
#pragma unroll
        for (uint n = 0; n < kColumns; n++) {
            if (8 * n >= count) break;
#pragma unroll
            for (uint digit = 0; digit < 2; digit++) {
                int b[2];
                input_words(s, digit, n, sub, b);
                if constexpr (Format::kRun == 32) {
                    int c[4] = {};
                    multiply32(c, a, b);
#pragma unroll
                    for (uint i = 0; i < 4; i++) total[digit][n][i] += scale[0][i / 2] * c[i];
                } else {
#pragma unroll
                    for (uint h = 0; h < 2; h++) {
                        int c[4] = {};
                        multiply16(c, a[2 * h], a[2 * h + 1], b[h]);
#pragma unroll
                        for (uint i = 0; i < 4; i++) total[digit][n][i] += scale[h][i / 2] * c[i];
                    }
                }
            }
        }
    }
#pragma unroll
    for (uint n = 0; n < kColumns; n++) {
        if (8 * n >= count) continue;
        int M[4] = {};
        if constexpr (Format::kMin) weigh_minima(s, n, M);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float d = s.d[warp][g + 8 * (i / 2)][0];
            const float dx = s.dx[8 * n + 2 * t + i % 2];
            float term;
            if constexpr (Format::kMin)
                term = qm_term_min(d, s.dmin[warp][g + 8 * (i / 2)][0], dx, total[0][n][i], total[1][n][i], M[i]);
            else
                term = qm_term(d, dx, total[0][n][i], total[1][n][i]);
            sums[n][i] = qm_add(sums[n][i], term);
        }
    }
}

// The floats of group `sub` of 32.
template <class Format>
__device__ __forceinline__ void groups(const Shared& s, uint sub, uint n, float (&f)[4]) {
    const uint warp = threadIdx.x / 32, g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    int a[4], b[2], high[4] = {}, low[4] = {};
    weight_words(s, sub, a);
    input_words(s, 0, n, sub, b);
    multiply32(high, a, b);
    input_words(s, 1, n, sub, b);
    multiply32(low, a, b);
#pragma unroll
    for (uint i = 0; i < 4; i++) {
        const float d = s.d[warp][g + 8 * (i / 2)][sub];
        if constexpr (Format::kMin) {
            const int sum = s.group_sums[8 * n + 2 * t + i % 2][sub];
            f[i] = qm_group_min(d, s.dmin[warp][g + 8 * (i / 2)][sub], high[i], low[i], sum);
        } else {
            f[i] = qm_group(d, high[i], low[i]);
        }
    }
}

// Adds a block's terms of formats with a float scale for every 32: eight groups in the order of qm_sum8.
template <class Format>
__device__ __forceinline__ void add_small(const Shared& s, uint count, Sums& sums) {
    const uint t = threadIdx.x & 3;
#pragma unroll
    for (uint n = 0; n < kColumns; n++) {
        if (8 * n >= count) break;
        float f[8][4];
#pragma unroll
        for (uint sub = 0; sub < 8; sub++) groups<Format>(s, sub, n, f[sub]);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float sum = qm_sum8(f[0][i], f[1][i], f[2][i], f[3][i], f[4][i], f[5][i], f[6][i], f[7][i]);
            sums[n][i] = qm_add(sums[n][i], qm_term32(s.dx[8 * n + 2 * t + i % 2], sum));
        }
    }
}

template <class Format>
__global__ void __launch_bounds__(kThreads, 3) dot_tiles_kernel(const __grid_constant__ Product p) {
    after_step_before();
    __shared__ Shared s;
    const Slots slots = slots_of(p, blockIdx.y);
    if (slots.count == 0) return;
    const JobTile tile = job_tile(p, blockIdx.x, kWarps * kRows);
    const Job& job = *tile.job;
    const std::size_t matrix = std::size_t(slots.expert) * job.rows;
    const uint row0 = tile.first + kRows * (threadIdx.x / 32);
    const uint blocks = p.in.blocks();

    Sums sums = {};
    Loads<Format> next;
    load_weights(job, matrix, row0, 0, next);
    const Sources<Format> from(p, slots);
    load_inputs(p, from, 0, next);
    for (uint block = 0; block < blocks; block++) {
        __syncthreads();
        keep_inputs(next, s);
        keep_weights(next, s);
        __syncthreads();
        if (block + 1 < blocks) {
            load_weights(job, matrix, row0, block + 1, next);
            load_inputs(p, from, block + 1, next);
        }
        if constexpr (Format::kSuper)
            add_super<Format>(s, slots.count, sums);
        else
            add_small<Format>(s, slots.count, sums);
    }
    const uint g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
#pragma unroll
    for (uint n = 0; n < kColumns; n++)
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint slot = 8 * n + 2 * t + i % 2;
            const uint row = row0 + g + 8 * (i / 2);
            if (slot < slots.count && row < job.rows) put(p, job, slots.slot(slot), row, sums[n][i]);
        }
}

}  // namespace

cudaError_t dot_tiles(const Product& p, cudaStream_t stream) {
    const dim3 grid(job_tiles(p, kWarps * kRows), p.tiles);
    return with_format(
        p.jobs[0].w.type, [](auto) { return cudaErrorInvalidValue; },
        [&](auto format) { return launch(dot_tiles_kernel<decltype(format)>, grid, kThreads, stream, p); });
}

}  // namespace qwen3moe::cuda
