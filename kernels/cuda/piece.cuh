// A block of 256 columns of sixteen rows of weights, copied to shared memory by one warp for itself. Its planes follow
// each other; the sixteens of a row's bytes are exchanged by the row, so that those of eight rows are in banks of their
// own.
#pragma once

#include <cuda_pipeline.h>

#include "backend/layout.h"
#include "cuda/words.cuh"

namespace qwen3moe::cuda {

inline constexpr uint kPieceRows = 16;

// Bytes of a row of a piece in each of its planes, which are eight times the field of a block of 32. Planes of sixteens
// come first, as they are to be aligned.
struct PieceShape {
    uint field[4], stride[4], offset[4], bytes;

    constexpr PieceShape(gguf::Type type, bool super) : field{}, stride{}, offset{}, bytes(0) {
        for (uint p = 0; p < 4; p++) {
            field[p] = gpu::layout(type).fields[p].bytes;
            stride[p] = field[p] * (super ? 1 : 8);
        }
        for (const bool sixteens : {true, false})
            for (uint p = 0; p < 4; p++) {
                if ((field[p] % 16 == 0) != sixteens) continue;
                offset[p] = bytes;
                bytes += kPieceRows * stride[p];
            }
    }
};

template <class Format>
struct Piece {
    static constexpr PieceShape kShape{Words<Format>::kType, Format::kSuper};
    static constexpr uint kBytes = kShape.bytes;
    static_assert(kBytes % 16 == 0);
    template <uint kPlane>
    static constexpr uint kField = kShape.field[kPlane];
    template <uint kPlane>
    static constexpr uint kStride = kShape.stride[kPlane];
    template <uint kPlane>
    static constexpr uint kOffset = kShape.offset[kPlane];

    template <uint kPlane>
    static __device__ __forceinline__ uint place(uint r, uint group) {
        constexpr uint kChunks = kStride<kPlane> / 16;
        constexpr uint kTogether = kChunks < 8 ? 8 / kChunks : 1;  // rows in all banks once
        return r * kStride<kPlane> + 16 * (group ^ (r / kTogether % (kChunks < 8 ? kChunks : 8)));
    }

    // What a warp works on: rows g and g + 8.
    struct At {
        const char* piece;
        uint g, t;
        static constexpr uint block = 0;  // of this piece

        template <uint kPlane, uint kBlockBytes>
        __device__ __forceinline__ const char* at(bool upper) const {
            return piece + kOffset<kPlane> + (upper ? g + 8 : g) * kStride<kPlane>;
        }
        template <uint kPlane>
        __device__ __forceinline__ const char* sixteen(bool upper, uint group) const {
            return piece + kOffset<kPlane> + place<kPlane>(upper ? g + 8 : g, group);
        }
        template <uint kPlane, uint N>
        __device__ __forceinline__ void words(uint first, uint (&to)[2][N]) const {
            const uint lane = 4 * g + t;
#pragma unroll
            for (uint i = 0; i < N; i += 2) {
                uint four[4];
                load_matrices(piece + kOffset<kPlane> + place<kPlane>(lane & 15, first + i + lane / 16), four);
                to[0][i] = four[0], to[1][i] = four[1], to[0][i + 1] = four[2], to[1][i + 1] = four[3];
            }
        }
    };

    // Copies of fields of two bytes would be too small to go by themselves: a lane's of the next piece.
    static constexpr uint kHalvesPlane = 0;
    static constexpr bool kHasHalves = kField<kHalvesPlane> == 2;
    static constexpr uint kHalvesRow = kStride<kHalvesPlane> / 2;
    static constexpr uint kHalves = kHasHalves ? (kPieceRows * kHalvesRow + 31) / 32 : 1;
    struct Halves {
        std::uint16_t of[kHalves];
    };
};

// Sixteen rows of a matrix, from `first` on; those past the last repeat it.
struct PieceRows {
    const std::uint8_t* plane[4];
    uint row_bytes[4], turn[4];
    uint first;  // its lowest bits
    uint last;

    __device__ __forceinline__ PieceRows(const Weight& w, std::size_t from, uint count)
        : first(static_cast<uint>(from)), last(count - 1) {
#pragma unroll
        for (uint p = 0; p < 4; p++) {
            plane[p] = w.plane[p] + from * w.row_bytes[p];
            row_bytes[p] = w.row_bytes[p];
            turn[p] = w.turn[p];
        }
    }
    __device__ __forceinline__ uint row(uint r) const { return min(r, last); }
};

// Begins to copy a plane of block `block`; past the end of a row of blocks of 32 come zeros, or what was there where
// the factors are zeros.
template <class Format, uint kPlane>
__device__ __forceinline__ void copy_plane(const PieceRows& rows, uint block, char* piece) {
    using P = Piece<Format>;
    constexpr uint kField = P::template kField<kPlane>, kStride = P::template kStride<kPlane>;
    const uint lane = threadIdx.x & 31, row_bytes = rows.row_bytes[kPlane];
    piece += P::template kOffset<kPlane>;
    if constexpr (kField > 0 && kField % 16 == 0) {
        constexpr uint kChunks = kStride / 16;
#pragma unroll
        for (uint i = 0; i < (kPieceRows * kChunks + 31) / 32; i++) {
            const uint at = lane + 32 * i, r = at / kChunks, c = at % kChunks, group = kChunks * block + c;
            if (kPieceRows * kChunks < 32 && r >= kPieceRows) continue;
            if (!Format::kSuper && 16 * group >= row_bytes) continue;
            const uint from =
                rows.row(r) * (row_bytes / 16) + turned(group, rows.first + rows.row(r), rows.turn[kPlane]);
            __pipeline_memcpy_async(piece + P::template place<kPlane>(r, c),
                                    rows.plane[kPlane] + 16 * std::size_t(from), 16);
        }
    } else if constexpr (kField > 0 && kField % 4 == 0) {
        constexpr uint kWords = kStride / 4;
#pragma unroll
        for (uint i = 0; i < (kPieceRows * kWords + 31) / 32; i++) {
            const uint at = lane + 32 * i, r = at / kWords, word = kWords * block + at % kWords;
            if (kPieceRows * kWords % 32 != 0 && r >= kPieceRows) continue;
            const bool there = Format::kSuper || 4 * word < row_bytes;
            const uint from = rows.row(r) * row_bytes + (there ? 4 * word : 0);
            __pipeline_memcpy_async(piece + 4 * at, rows.plane[kPlane] + from, 4, there ? 0 : 4);
        }
    }
}

template <class Format>
__device__ __forceinline__ void copy_piece(const PieceRows& rows, uint block, char* piece) {
    copy_plane<Format, 0>(rows, block, piece);
    copy_plane<Format, 1>(rows, block, piece);
    copy_plane<Format, 2>(rows, block, piece);
    copy_plane<Format, 3>(rows, block, piece);
}

template <class Format>
__device__ __forceinline__ void load_halves(const PieceRows& rows, uint block, typename Piece<Format>::Halves& to) {
    using P = Piece<Format>;
    if constexpr (P::kHasHalves) {
        const uint lane = threadIdx.x & 31, row_bytes = rows.row_bytes[P::kHalvesPlane];
#pragma unroll
        for (uint i = 0; i < P::kHalves; i++) {
            const uint at = lane + 32 * i, r = at / P::kHalvesRow, half = P::kHalvesRow * block + at % P::kHalvesRow;
            const bool there = r < kPieceRows && 2 * half < row_bytes;
            const uint from = rows.row(r) * row_bytes + 2 * half;
            to.of[i] = there ? load<std::uint16_t>(rows.plane[P::kHalvesPlane] + from) : std::uint16_t(0);
        }
    }
}

template <class Format>
__device__ __forceinline__ void keep_halves(const typename Piece<Format>::Halves& from, char* piece) {
    using P = Piece<Format>;
    if constexpr (P::kHasHalves) {
        const uint lane = threadIdx.x & 31;
#pragma unroll
        for (uint i = 0; i < P::kHalves; i++)
            if (lane + 32 * i < kPieceRows * P::kHalvesRow)
                reinterpret_cast<std::uint16_t*>(piece + P::template kOffset<P::kHalvesPlane>)[lane + 32 * i] =
                    from.of[i];
    }
}

}  // namespace qwen3moe::cuda
