// Many slots: a block of threads multiplies 64 rows of weights by up to 32 slots, 256 columns at a time. A warp has 16
// rows of its own, which it takes apart as tensor cores want them; the slots' activations are shared by four. While
// one block of columns is multiplied, the next is copied to shared memory, where there is room for two.
#include "cuda/dot.cuh"
#include "cuda/launch.cuh"
#include "cuda/piece.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kWarps = 4;
constexpr uint kThreads = 32 * kWarps;
constexpr uint kRows = kPieceRows;    // of a warp
constexpr uint kColumns = kTile / 8;  // of tensor core tiles

// Where things are in shared memory.
template <class Format>
struct Stage {
    static constexpr uint kDigits = 0;  // [2][kTile][256], a slot's sixteens exchanged by its number
    static constexpr uint kSums = 2 * kTile * 256;
    static constexpr uint kScale = kSums + (Format::kMin ? kTile * 16 * sizeof(int) : 0);
    static constexpr uint kPieces = kScale + kTile * sizeof(float);
    static constexpr uint kBytes = kPieces + kWarps * Piece<Format>::kBytes;
    // As many blocks of threads as a multiprocessor of 228 KB, of which each takes another, has room for.
    static constexpr uint kTogether = 4 * (2 * kBytes + 1024) <= (228u << 10) ? 4 : 3;
};

// The activations of a tile's slots. A thread copies the same sixteenth of every eighth slot's digits.
class Inputs {
  public:
    __device__ Inputs(const Product& p, const Slots& slots) : p_(p), count_(slots.count), blocks_(p.in.blocks()) {
        const auto row = [&](uint slot) { return slots.slot(min(slot, slots.count - 1)) / p.slots_per_row; };
#pragma unroll
        for (uint i = 0; i < kColumns; i++)
            digits_[i] = row(threadIdx.x / 16 + 8 * i) * blocks_ * 16 + threadIdx.x % 16;
        sums_ = row(threadIdx.x / 4) * blocks_ * 4 + threadIdx.x % 4;
        scale_ = row(threadIdx.x & 31) * blocks_;
    }

    // Slots past the count are a copy of the last.
    template <class Format>
    __device__ __forceinline__ void copy(uint block, char* stage) const {
        using S = Stage<Format>;
        const uint part = threadIdx.x % 16;
#pragma unroll
        for (uint i = 0; i < kColumns; i++) {
            if (8 * i >= count_) break;
            const uint slot = threadIdx.x / 16 + 8 * i;
            const std::size_t from = std::size_t(digits_[i] + 16 * block) * 16;
            char* to = stage + S::kDigits + 256 * slot + 16 * (part ^ (slot & 7));
            __pipeline_memcpy_async(to, p_.in.high + from, 16);
            __pipeline_memcpy_async(to + 256 * kTile, p_.in.low + from, 16);
        }
        if constexpr (Format::kMin)
            __pipeline_memcpy_async(stage + S::kSums + 16 * threadIdx.x,
                                    p_.in.sums + std::size_t(sums_ + 4 * block) * 4, 16);
        if (threadIdx.x < kTile)
            __pipeline_memcpy_async(stage + S::kScale + 4 * threadIdx.x, p_.in.scale + scale_ + block, 4);
    }

  private:
    const Product& p_;
    const uint count_, blocks_;
    uint digits_[kColumns], sums_, scale_;  // where the thread's sixteen bytes begin, in sixteens, and a scale
};

// One block of columns, as a warp sees it.
template <class Format>
struct Block {
    using S = Stage<Format>;
    const char* stage;
    typename Piece<Format>::At at;

    __device__ __forceinline__ Block(const char* from)
        : stage(from),
          at{from + S::kPieces + threadIdx.x / 32 * Piece<Format>::kBytes, (threadIdx.x & 31) / 4, threadIdx.x & 3} {}

    // Eight slots' 32 values: words of runs 2 sub and 2 sub + 1 of the high digits, then of the low ones.
    __device__ __forceinline__ void digits(uint n, uint sub, int (&b)[2][2]) const {
        const uint lane = threadIdx.x & 31, matrix = lane / 8, r = lane & 7;
        uint four[4];
        load_matrices(
            stage + S::kDigits + 256 * (kTile * (matrix / 2) + 8 * n + r) + ((16 * ((matrix & 1) ^ r)) ^ (32 * sub)),
            four);
        b[0][0] = int(four[0]), b[0][1] = int(four[1]), b[1][0] = int(four[2]), b[1][1] = int(four[3]);
    }
    // Of the slots whose results the lane has.
    __device__ __forceinline__ float2 scale(uint n) const {
        return load_shared<float2>(stage + S::kScale + sizeof(float) * (8 * n + 2 * at.t));
    }
    __device__ __forceinline__ int sum32(uint slot, uint sub) const {
        const int2 runs = load_shared<int2>(stage + S::kSums + sizeof(int) * (16 * slot + 2 * sub));
        return runs.x + runs.y;
    }

    // 32 values of rows g and g + 8.
    __device__ __forceinline__ void weights(const typename Words<Format>::Half& h, uint sub, int (&a)[4]) const {
        using W = Words<Format>;
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint word = W::run(h, i & 1, sub / 4, 2 * (sub % 4) + i / 2, at.t);
            a[i] = W::kBias == 0 ? static_cast<int>(word) : minus4(word, W::kBias);
        }
    }
};

// Minima times sums of X, which are products of bytes: a sum is 2^16 times its upper two bytes and the lower two.
template <class Format>
__device__ __forceinline__ void weigh_minima(const Block<Format>& in, const uint (&minima)[2], uint n, int (&M)[4]) {
    const int4 s = load_shared<int4>(in.stage + Stage<Format>::kSums + 64 * (8 * n + in.at.g) + 16 * in.at.t);
    const uint first = __byte_perm(s.x, s.y, 0x5140), second = __byte_perm(s.z, s.w, 0x5140);
    const uint digits[] = {__byte_perm(first, second, 0x5410), __byte_perm(first, second, 0x7632),
                           __byte_perm(__byte_perm(s.x, s.y, 0x0062), __byte_perm(s.z, s.w, 0x0062), 0x5410)};
    multiply16(M, int(minima[0]), int(minima[1]), int(digits[2]));
#pragma unroll
    for (uint digit = 2; digit-- > 0;) {
#pragma unroll
        for (uint i = 0; i < 4; i++) M[i] *= 256;
        multiply16_unsigned(M, int(minima[0]), int(minima[1]), int(digits[digit]));
    }
}

template <uint kUsed>
using Sums = float[kUsed][4];  // rows g and g + 8, slots 2 t and 2 t + 1 of each eight, as the tensor cores have them

// Adds a block's terms of formats with integer scales.
template <class Format, uint kUsed>
__device__ __forceinline__ void add_super(const Block<Format>& in, Sums<kColumns>& sums) {
    using W = Words<Format>;
    constexpr uint kRuns = 32 / Format::kRun;  // that have a scale each, of 32 values
    uint scales[2][2 * kRuns];
    W::scales(in.at, false, scales[0]);
    W::scales(in.at, true, scales[1]);
    int total[2][kUsed][4] = {};
#pragma unroll
    for (uint half = 0; half < 2; half++) {
        const typename W::Half h = W::load(in.at, half);
#pragma unroll
        for (uint sub = 4 * half; sub < 4 * half + 4; sub++) {
            int a[4], scale[kRuns][2];
            in.weights(h, sub, a);
#pragma unroll
            for (uint i = 0; i < kRuns; i++)
#pragma unroll
                for (uint r = 0; r < 2; r++)
                    scale[i][r] = signed_byte(scales[r][(kRuns * sub + i) / 4], (kRuns * sub + i) % 4);
#pragma unroll
            for (uint n = 0; n < kUsed; n++) {
                int b[2][2];
                in.digits(n, sub, b);
#pragma unroll
                for (uint digit = 0; digit < 2; digit++) {
                    if constexpr (kRuns == 1) {
                        int c[4] = {};
                        multiply32(c, a, b[digit]);
#pragma unroll
                        for (uint i = 0; i < 4; i++) total[digit][n][i] += scale[0][i / 2] * c[i];
                    } else {
#pragma unroll
                        for (uint run = 0; run < 2; run++) {
                            int c[4] = {};
                            multiply16(c, a[2 * run], a[2 * run + 1], b[digit][run]);
#pragma unroll
                            for (uint i = 0; i < 4; i++) total[digit][n][i] += scale[run][i / 2] * c[i];
                        }
                    }
                }
            }
        }
    }
    const Factors f[2] = {factors_of<Format>(W::factor_bits(in.at, false)),
                          factors_of<Format>(W::factor_bits(in.at, true))};
    uint minima[2];
    if constexpr (Format::kMin) minima[0] = W::minima(in.at, false), minima[1] = W::minima(in.at, true);
#pragma unroll
    for (uint n = 0; n < kUsed; n++) {
        const float2 dx = in.scale(n);
        int M[4] = {};
        if constexpr (Format::kMin) weigh_minima(in, minima, n, M);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float x = i % 2 == 0 ? dx.x : dx.y;
            float term;
            if constexpr (Format::kMin)
                term = qm_term_min(f[i / 2].d, f[i / 2].dmin, x, total[0][n][i], total[1][n][i], M[i]);
            else
                term = qm_term(f[i / 2].d, x, total[0][n][i], total[1][n][i]);
            sums[n][i] = qm_add(sums[n][i], term);
        }
    }
}

// Adds a block's terms of formats with a float scale for every 32: eight groups in the order of qm_sum8.
template <class Format, uint kUsed>
__device__ __forceinline__ void add_small(const Block<Format>& in, Sums<kColumns>& sums) {
    using W = Words<Format>;
    constexpr uint kFactor = Piece<Format>::template kField<0>;
    const typename W::Half h[2] = {W::load(in.at, 0), W::load(in.at, 1)};
    const auto factors = [&](uint r, uint sub) {
        const char* from = in.at.template at<0, 8 * kFactor>(r == 1) + kFactor * sub;
        if constexpr (kFactor == 4)
            return load_shared<uint>(from);
        else
            return uint(load_shared<std::uint16_t>(from));
    };
#pragma unroll
    for (uint n = 0; n < kUsed; n++) {
        float f[8][4];
#pragma unroll
        for (uint sub = 0; sub < 8; sub++) {
            int a[4], b[2][2], high[4] = {}, low[4] = {};
            in.weights(h[sub / 4], sub, a);
            in.digits(n, sub, b);
            multiply32(high, a, b[0]);
            multiply32(low, a, b[1]);
            const uint bits[2] = {factors(0, sub), factors(1, sub)};
#pragma unroll
            for (uint i = 0; i < 4; i++) {
                const float d = half_to_float(bits[i / 2]);
                if constexpr (Format::kMin)
                    f[sub][i] = qm_group_min(d, half_to_float(bits[i / 2] >> 16), high[i], low[i],
                                             in.sum32(8 * n + 2 * in.at.t + i % 2, sub));
                else
                    f[sub][i] = qm_group(d, high[i], low[i]);
            }
        }
        const float2 dx = in.scale(n);
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const float sum = qm_sum8(f[0][i], f[1][i], f[2][i], f[3][i], f[4][i], f[5][i], f[6][i], f[7][i]);
            sums[n][i] = qm_add(sums[n][i], qm_term32(i % 2 == 0 ? dx.x : dx.y, sum));
        }
    }
}

template <class Format, uint kUsed>
__device__ __forceinline__ void add(const Block<Format>& in, Sums<kColumns>& sums) {
    if constexpr (Format::kSuper)
        add_super<Format, kUsed>(in, sums);
    else
        add_small<Format, kUsed>(in, sums);
}

template <class Format>
__global__ void __launch_bounds__(kThreads, Stage<Format>::kTogether)
    dot_tiles_kernel(const __grid_constant__ Product p, uint stages) {
    after_step_before();
    extern __shared__ __align__(256) char shared[];
    using S = Stage<Format>;
    const Slots slots = slots_of(p, blockIdx.y);
    if (slots.count == 0) return;
    const JobTile tile = job_tile(p, blockIdx.x, kWarps * kRows);
    const Job& job = *tile.job;
    const uint warp = threadIdx.x / 32, row0 = tile.first + kRows * warp;
    const uint there = min(row0, job.rows - 1);
    const PieceRows rows(job.w, std::size_t(slots.expert) * job.rows + there, min(kRows, job.rows - there));
    const uint blocks = p.in.blocks(), used = (slots.count + 7) / 8;
    const Inputs inputs(p, slots);

    typename Piece<Format>::Halves halves;
    const auto stage_of = [&](uint block) { return shared + (stages == 2 ? block & 1 : 0) * S::kBytes; };
    const auto fetch = [&](uint block) {
        char* stage = stage_of(block);
        copy_piece<Format>(rows, block, stage + S::kPieces + warp * Piece<Format>::kBytes);
        load_halves<Format>(rows, block, halves);
        inputs.template copy<Format>(block, stage);
        __pipeline_commit();
    };
    Sums<kColumns> sums = {};
    fetch(0);
#pragma unroll 1
    for (uint block = 0; block < blocks; block++) {
        char* stage = stage_of(block);
        keep_halves<Format>(halves, stage + S::kPieces + warp * Piece<Format>::kBytes);
        __pipeline_wait_prior(0);
        __syncthreads();
        if (stages == 2 && block + 1 < blocks) fetch(block + 1);
        const Block<Format> in(stage);
        if (used == 4)
            add<Format, 4>(in, sums);
        else if (used == 3)
            add<Format, 3>(in, sums);
        else if (used == 2)
            add<Format, 2>(in, sums);
        else
            add<Format, 1>(in, sums);
        if (stages == 1 && block + 1 < blocks) {
            __syncthreads();
            fetch(block + 1);
        }
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
        [&](auto format) {
            using Format = decltype(format);
            constexpr uint kBytes = Stage<Format>::kBytes;
            const uint stages = 2 * kBytes <= attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) ? 2 : 1;
            const auto kernel = dot_tiles_kernel<Format>;
            const cudaError_t error = ask_for_shared(kernel, stages * kBytes);
            return error != cudaSuccess ? error
                                        : launch_sharing(kernel, grid, kThreads, stages * kBytes, stream, p, stages);
        });
}

}  // namespace qwen3moe::cuda
