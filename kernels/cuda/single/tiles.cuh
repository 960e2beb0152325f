// Matrices times the input. A tile is sixteen rows of one matrix, or of several that belong together; a block of
// threads has all of a tile's weights copied to shared memory, its warps take a block of 256 columns at a time, and the
// warp that is the last to finish adds up the rows' terms in the contract's order.
#pragma once

#include <algorithm>
#include <type_traits>

#include "cuda/launch.cuh"
#include "cuda/single/copies.cuh"
#include "cuda/single/input.cuh"
#include "cuda/single/steps.h"
#include "cuda/tensor_core.cuh"

namespace qwen3moe::cuda {

inline constexpr uint kTileRows = 16;
inline constexpr uint kMostStages = 8;
inline constexpr uint kMostParts = 32;  // of all stages
inline constexpr uint kFetchers = 2;    // warps that ask for weights
static_assert(kMostUsed <= kMostParts);

constexpr __host__ __device__ uint tiles_in(uint rows) { return (rows + kTileRows - 1) / kTileRows; }

struct Matrix {
    Weight w;
    uint rows;
    Slot slot;
};

// What is the same for all blocks of threads of a kernel.
struct Stages {
    uint count;        // tiles in shared memory
    uint bytes;        // of a tile
    uint parts;        // matrices that a tile has rows of
    uint blocks;       // of 256 columns
    uint over_blocks;  // item * over_blocks >> 16 is item / blocks

    __host__ __device__ uint items() const { return parts * blocks; }
    __host__ __device__ uint term_bytes() const { return items() * kTileRows * sizeof(float); }
    __host__ __device__ uint shared() const { return count * (bytes + term_bytes()); }
};

// Tiles first, first + step, first + 2 step ... below end.
struct Range {
    uint first, step, end;
};

// The term of one block for row g of a tile, or row g + 8 in the lanes of upper t.
template <class Format>
__device__ __forceinline__ float block_term(const InSlot& at, const Input& in, uint block, const uint (&mine)[4]) {
    using W = Words<Format>;
    constexpr uint kSub = sub_block<Format>(), kQuads = 32 / kSub;  // quads of sub-blocks in 128 values
    const uint lane = threadIdx.x & 31, pair = lane >> 3, t = at.t;
    const bool upper = (t & 2) != 0;
    const char* x = reinterpret_cast<const char*>(in.digit((lane >> 2) & 1, block)) + kSub * pair + 4 * t;
    const float dx = in.scale[block];
    int high[2] = {}, low[2] = {}, minima[2] = {};
    float groups[2] = {};
    const auto heads = [&](bool up) {
        if constexpr (Format::kSuper)
            return W::head(at, up);
        else
            return 0;
    };
    const auto head0 = heads(false), head1 = heads(true);
#pragma unroll
    for (uint half = 0; half < 2; half++) {
        const typename W::Half h = W::load(at, half);
#pragma unroll
        for (uint quad = 0; quad < kQuads; quad++) {
            const uint first = 128 * half + 64 * quad;  // value
            int c[4] = {};
            int2 sums{};
            if constexpr (W::kBias != 0 || Format::kMin) sums = in.sums[block * 16 + first / kSub + t];
            if constexpr (W::kBias != 0) c[0] = c[2] = sums.x, c[1] = c[3] = sums.y;
            const uint x0 = load_shared<uint>(x + first);
            if constexpr (kSub == 32) {
                const uint x1 = load_shared<uint>(x + first + 16);
#pragma unroll
                for (uint i = 0; i < 4; i++) {
                    const int a[4] = {int(W::run(h, 0, half, 2 * i, t)), int(W::run(h, 1, half, 2 * i, t)),
                                      int(W::run(h, 0, half, 2 * i + 1, t)), int(W::run(h, 1, half, 2 * i + 1, t))};
                    const int b[2] = {int(x0 & mine[i]), int(x1 & mine[i])};
                    multiply32(c, a, b);
                }
            } else {
#pragma unroll
                for (uint i = 0; i < 4; i++)
                    multiply16(c, int(W::run(h, 0, half, 4 * quad + i, t)), int(W::run(h, 1, half, 4 * quad + i, t)),
                               int(x0 & mine[i]));
            }
            // Lane t now has both digits' sums of sub-block t of the quad, of both rows.
#pragma unroll
            for (uint r = 0; r < 2; r++) {
                if constexpr (Format::kSuper) {
                    const int scale = W::scale(r == 0 ? head0 : head1, half, quad);
                    high[r] += scale * c[2 * r];
                    low[r] += scale * c[2 * r + 1];
                    if constexpr (Format::kMin) minima[r] += W::minimum(r == 0 ? head0 : head1, half, quad) * sums.x;
                } else {
                    const uint bits = W::d_bits(at, r == 1, half);
                    float group;
                    if constexpr (Format::kMin)
                        group = qm_group_min(half_to_float(bits), half_to_float(bits >> 16), c[2 * r], c[2 * r + 1],
                                             sums.x);
                    else
                        group = qm_group(half_to_float(bits), c[2 * r], c[2 * r + 1]);
                    if (!at.has(4 * half + t)) group = 0.0f;
                    groups[r] = half == 0 ? group : qm_add(groups[r], group);
                }
            }
        }
    }
    // Over the four lanes: those of lower t are left with row g, the others with row g + 8.
    const auto gather = [&](auto(&v)[2], auto add) {
        const auto sent = upper ? v[0] : v[1], kept = upper ? v[1] : v[0];
        const auto half = add(kept, __shfl_xor_sync(kAllLanes, sent, 2));
        return add(half, __shfl_xor_sync(kAllLanes, half, 1));
    };
    if constexpr (Format::kSuper) {
        const auto add = [](int a, int b) { return a + b; };
        const Factors f = factors_of<Format>(W::factor_bits(at, upper));
        const int highs = gather(high, add), lows = gather(low, add);
        if constexpr (Format::kMin) return qm_term_min(f.d, f.dmin, dx, highs, lows, gather(minima, add));
        return qm_term(f.d, dx, highs, lows);
    } else {
        // With a lane and its fourth next, steps of two and of one this is qm_sum8 of the groups.
        return qm_term32(dx, gather(groups, [](float a, float b) { return qm_add(a, b); }));
    }
}

// Rows of one matrix: the source of most.
struct Plain {
    const Matrix& of;

    __device__ __forceinline__ const Matrix& matrix(uint) const { return of; }
    __device__ __forceinline__ uint within(uint tile) const { return kTileRows * tile; }
    __device__ __forceinline__ std::size_t row(uint tile, uint) const { return within(tile); }
};

// A source has matrix(part), of all tiles, and row(tile, part), where a tile's rows are in it; within(tile) is the same
// in the matrix of one expert.
template <class Format, class Source>
class Tiles {
  public:
    // memory: stages.shared() bytes.
    __device__ __forceinline__ Tiles(const Stages& stages, const Range& range, char* memory, Arrival* arrived,
                                     uint* done, Source source)
        : s_(stages),
          range_(range),
          memory_(memory),
          terms_(reinterpret_cast<float*>(memory + stages.count * stages.bytes)),
          arrived_(arrived),
          done_(done),
          source_(source),
          count_(range.first < range.end ? (range.end - range.first - 1) / range.step + 1 : 0) {
        if (threadIdx.x < s_.count * s_.parts) arrived_[threadIdx.x].set(1);
        if (threadIdx.x < s_.count) done_[threadIdx.x] = 0;
        __syncthreads();
    }

    // By the last warps, which have no input to make, once `source` can be asked. Few of them, as what is asked for
    // first is to come first.
    __device__ __forceinline__ void start() {
        const uint copies = min(s_.count, count_) * s_.parts;
        if (threadIdx.x < kThreads - 32 * kFetchers) return;
#pragma unroll 1
        for (uint i = kWarps - 1 - threadIdx.x / 32; i < copies; i += kFetchers)
            fetch(i / s_.parts, i / s_.parts, i % s_.parts);
    }

    // By all warps, once the input is there. block_of(part, block): of the input. have_all(), by a warp, when all
    // weights have come. finish(tile, sum) by a warp, where sum(part, r) is the result of row r.
    template <class BlockOf, class HaveAll, class Finish>
    __device__ __forceinline__ void run(const Input& in, BlockOf block_of, HaveAll have_all, Finish finish) {
        const uint lane = threadIdx.x & 31, items = s_.items();
        uint mine[4];
#pragma unroll
        for (uint i = 0; i < 4; i++) mine[i] = (lane >> 3) == i ? 0xffffffffu : 0u;
        uint tile = 0, stage = 0, turn = 0, item = threadIdx.x / 32;
        for (;; item += kWarps) {
            while (item >= items) {
                item -= items;
                tile++;
                if (++stage == s_.count) stage = 0, turn++;
            }
            if (tile >= count_) return;
            const uint part = item * s_.over_blocks >> 16;
            const uint block = item - part * s_.blocks;
            // The stage's tile before may have been for other warps alone, and is not done yet.
            if (turn > 0) wait_for(&done_[stage], turn * items);
            arrived_[stage * s_.parts + part].wait(turn & 1);
            if (tile + 1 == count_ && item + 1 == items) have_all();  // they come in turn
            const Matrix& m = source_.matrix(part);
            const InSlot at{memory_ + stage * s_.bytes + part * m.slot.bytes, m.slot, m.w, lane >> 2, lane & 3, block};
            const float term = block_term<Format>(at, in, block_of(part, block), mine);
            float* terms = terms_ + (stage * items + item) * kTileRows;
            if ((lane & 1) == 0) terms[(lane >> 2) + 4 * (lane & 2)] = term;
            if (!last_of(stage, (turn + 1) * items)) continue;
            finish(range_.first + tile * range_.step, [&](uint which, uint r) {
                const float* own = terms_ + (stage * items + which * s_.blocks) * kTileRows + r;
                float sum = 0.0f;
#pragma unroll 4
                for (uint b = 0; b < s_.blocks; b++) sum = qm_add(sum, own[b * kTileRows]);
                return sum;
            });
            __syncwarp();
            if (tile + s_.count < count_)
#pragma unroll 1
                for (uint p = 0; p < s_.parts; p++) fetch(tile + s_.count, stage, p);
        }
    }

  private:
    // By a warp: one part of a tile to a stage.
    __device__ __forceinline__ void fetch(uint tile, uint stage, uint part) {
        const uint lane = threadIdx.x & 31;
        const Matrix& m = source_.matrix(part);
        const uint index = range_.first + tile * range_.step;
        const std::size_t row = source_.row(index, part);
        const uint rows = min(kTileRows, m.rows - source_.within(index));
        char* slot = memory_ + stage * s_.bytes + part * m.slot.bytes;
        const auto bytes = [&](uint p) { return (rows * m.w.row_bytes[p] + 15) / 16 * 16; };
        Arrival& arrived = arrived_[stage * s_.parts + part];
        if (lane == 0) arrived.expect(bytes(0) + bytes(1) + bytes(2) + bytes(3));
        if (lane < 4 && bytes(lane) > 0)
            arrived.copy(slot + m.slot.offset[lane], m.w.plane[lane] + row * m.w.row_bytes[lane], bytes(lane));
    }

    // Whether this warp's item is the last of the tile's, which makes so many of the stage; then it sees what the
    // others wrote.
    __device__ __forceinline__ bool last_of(uint stage, uint items) {
        __syncwarp();
        uint now = 0;
        if ((threadIdx.x & 31) == 0) now = count_up(&done_[stage]);
        return __shfl_sync(kAllLanes, now, 0) == items;
    }

    const Stages& s_;
    const Range range_;
    char* const memory_;
    float* const terms_;
    Arrival* const arrived_;
    uint* const done_;
    const Source source_;
    const uint count_;
};

inline Matrix matrix_of(const Weight& w, uint rows) {
    Matrix m{w, rows, {}};
    for (uint p = 0; p < 4; p++) {
        m.slot.offset[p] = m.slot.bytes;
        m.slot.bytes += (kTileRows * w.row_bytes[p] + 15) / 16 * 16;
    }
    return m;
}

// Bytes of shared memory for a block of threads. Two kernels are on a multiprocessor at once, one that computes and one
// whose weights arrive, and each must be there once, or some multiprocessors have twice the work: what the kernels take
// in turn, more and less than half, has room together, and twice the more has not.
inline uint half_of_shared() { return (attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) - (10u << 10)) / 2; }
inline uint more_than_half() { return half_of_shared() + (6u << 10); }
inline uint less_than_half() { return half_of_shared() - (6u << 10); }

// fixed: bytes that the kernel needs beside its tiles. As many as fit, at least one, at most `tiles`.
inline Stages stages_of(const Matrix& m, uint parts, uint fixed, uint tiles) {
    Stages s{1, parts * m.slot.bytes, parts, (m.w.columns + 255) / 256, 0};
    s.over_blocks = 65536 / s.blocks + 1;
    const uint each = s.shared();
    const uint most = std::min({kMostStages, kMostParts / parts, tiles});
    while (s.count < most && (s.count + 1) * each + fixed <= less_than_half()) s.count++;
    return s;
}

// shared: what the kernel uses; it takes `most` if that is more.
template <class... Parameters, class... Arguments>
cudaError_t launch_tiles(void (*kernel)(Parameters...), uint grid, uint shared, uint most, cudaStream_t stream,
                         Arguments&&... arguments) {
    shared = std::max(shared, most);
    const cudaError_t error = ask_for_shared(kernel, shared);
    if (error != cudaSuccess) return error;
    return launch_sharing(kernel, grid, kThreads, shared, stream, std::forward<Arguments>(arguments)...);
}

// Two formats can be in one kernel; which go together is what files have: K-quants with Q6_K.
template <class Same, class Pair>
cudaError_t with_formats(uint first, uint second, Same same, Pair pair) {
    return with_format(
        first, [](auto) { return cudaErrorInvalidValue; },
        [&](auto format) -> cudaError_t {
            using First = decltype(format);
            if (first == second) return same(format);
            if constexpr (std::is_same_v<First, Q4K> || std::is_same_v<First, Q5K>)
                if (second == static_cast<uint>(gguf::Type::Q6_K)) return pair(format, Q6K{});
            return cudaErrorInvalidValue;
        });
}

}  // namespace qwen3moe::cuda
