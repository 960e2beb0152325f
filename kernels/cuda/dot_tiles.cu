// Many slots: 64 rows of weights are unpacked once for up to 32 slots, and multiplied by integer tensor cores. A warp
// has 16 rows of its own; the slots' activations are shared by four warps.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"
#include "cuda/tensor_core.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kRows = 16;            // of a warp
constexpr uint kColumns = kTile / 8;  // of tensor core tiles
constexpr uint kStride = 256 + 16;    // bytes of a row: the padding keeps eight rows in different banks
constexpr uint kSumStride = 16 + 4;

struct alignas(16) Shared {
    std::int8_t weights[kWarps][kRows * kStride];
    std::int8_t x[2][kTile * kStride];  // high and low digits
    int sums[kTile * kSumStride];       // of X, over runs of 16
    float dx[kTile];
    float d[kWarps][kRows][8];  // super-blocks use the first only
    float dmin[kWarps][kRows][8];
    std::int8_t scale[kWarps][kRows][16];
    std::int8_t minimum[kWarps][kRows][16];
};

// One block of 256 of every slot; slots past the count are zero.
template <class Format>
__device__ __forceinline__ void load_inputs(const Product& p, const Slots& slots, uint block, Shared& s) {
    const uint blocks = p.in.blocks();
    for (uint i = threadIdx.x; i < kTile * 16; i += 32 * kWarps) {
        const uint t = i / 16, run = i % 16;
        int4 high = {}, low = {};
        int sum = 0;
        if (t < slots.count) {
            const std::size_t at = std::size_t(slots.slot(t) / p.slots_per_row) * blocks + block;
            high = reinterpret_cast<const int4*>(p.in.high)[at * 16 + run];
            low = reinterpret_cast<const int4*>(p.in.low)[at * 16 + run];
            if constexpr (Format::kMin) sum = p.in.sums[at * 16 + run];
            if (run == 0) s.dx[t] = p.in.scale[at];
        } else if (run == 0) {
            s.dx[t] = 0.0f;
        }
        *reinterpret_cast<int4*>(&s.x[0][t * kStride + 16 * run]) = high;
        *reinterpret_cast<int4*>(&s.x[1][t * kStride + 16 * run]) = low;
        if constexpr (Format::kMin) s.sums[t * kSumStride + run] = sum;
    }
}

// One block of 256 of the warp's rows; rows past the last repeat it.
template <class Format>
__device__ __forceinline__ void load_weights(const Job& job, std::size_t matrix, uint row0, uint block, Shared& s) {
    const uint lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    const uint last = job.rows - 1;
#pragma unroll
    for (uint i = 0; i < kRows / 4; i++) {
        const uint r = 4 * i + lane / 8, k = lane & 7;
        const uint row = row0 + r < last ? row0 + r : last;
        const typename Format::Raw raw = Format::fetch(job.w, matrix + row, block, k);
        Part part;
        Format::unpack(raw, k, part);
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
        if constexpr (!Format::kSuper) {
            s.d[warp][r][k] = part.d;
            if constexpr (Format::kMin) s.dmin[warp][r][k] = part.dmin;
        }
    }
    if constexpr (Format::kSuper) {
        if (lane < kRows) {
            const uint row = row0 + lane < last ? row0 + lane : last;
            const Factors f = factors_of<Format>(Format::factor_bits(Format::fetch(job.w, matrix + row, block, 0)));
            s.d[warp][lane][0] = f.d;
            s.dmin[warp][lane][0] = f.dmin;
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
    const std::int8_t* at = &s.x[digit][(8 * n + g) * kStride + 32 * sub + 4 * t];
    b[0] = *reinterpret_cast<const int*>(at);
    b[1] = *reinterpret_cast<const int*>(at + 16);
}

using Sums =
    float[kColumns][4];  // rows g and g + 8, slots 2 t and 2 t + 1 of each eight, as the tensor cores have them

// Adds a block's terms of formats with integer scales.
template <class Format>
__device__ __forceinline__ void add_super(const Shared& s, uint count, Sums& sums) {
    const uint warp = threadIdx.x / 32, g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
    int total[2][kColumns][4] = {};
    int minima[kColumns][4] = {};
#pragma unroll 2
    for (uint sub = 0; sub < 8; sub++) {
        int a[4];
        weight_words(s, sub, a);
        int scale[2][2], minimum[2][2];  // [run][row]
#pragma unroll
        for (uint i = 0; i < 2; i++)
#pragma unroll
            for (uint r = 0; r < 2; r++) {
                scale[i][r] = s.scale[warp][g + 8 * r][2 * sub + i];
                if constexpr (Format::kMin) minimum[i][r] = s.minimum[warp][g + 8 * r][2 * sub + i];
            }
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
            if constexpr (Format::kMin) {
#pragma unroll
                for (uint i = 0; i < 4; i++) {
                    const int2 x =
                        *reinterpret_cast<const int2*>(&s.sums[(8 * n + 2 * t + i % 2) * kSumStride + 2 * sub]);
                    minima[n][i] += minimum[0][i / 2] * x.x + minimum[1][i / 2] * x.y;
                }
            }
        }
    }
#pragma unroll
    for (uint n = 0; n < kColumns; n++)
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float d = s.d[warp][g + 8 * (i / 2)][0];
            const float dx = s.dx[8 * n + 2 * t + i % 2];
            float term;
            if constexpr (Format::kMin)
                term =
                    qm_term_min(d, s.dmin[warp][g + 8 * (i / 2)][0], dx, total[0][n][i], total[1][n][i], minima[n][i]);
            else
                term = qm_term(d, dx, total[0][n][i], total[1][n][i]);
            sums[n][i] = qm_add(sums[n][i], term);
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
            const int2 x = *reinterpret_cast<const int2*>(&s.sums[(8 * n + 2 * t + i % 2) * kSumStride + 2 * sub]);
            f[i] = qm_group_min(d, s.dmin[warp][g + 8 * (i / 2)][sub], high[i], low[i], x.x + x.y);
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
__global__ void __launch_bounds__(32 * kWarps, 4) dot_tiles_kernel(const __grid_constant__ Product p) {
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
    for (uint block = 0; block < blocks; block++) {
        __syncthreads();
        load_inputs<Format>(p, slots, block, s);
        load_weights<Format>(job, matrix, row0, block, s);
        __syncthreads();
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
        [&](auto format) { return launch(dot_tiles_kernel<decltype(format)>, grid, 32 * kWarps, stream, p); });
}

}  // namespace qwen3moe::cuda
