// Causal attention over blocks of 256 keys, which are merged left to right: a block of threads for each KV head and
// each tile of queries goes through them all, or, where there are few tiles, makes one, and a second kernel merges.
#include "cuda/attend.cuh"
#include "cuda/launch.cuh"

namespace qwen3moe::cuda {
namespace {

constexpr uint kColumns = 32;

struct Step {
    AttentionParams p;
    Queries queries;
    const Place* places;
    const CacheView* caches;
    uint layer;
    const QueryTile* tiles;
    uint parts;  // of a KV head's queries of one token, kColumns each
    KeyBlocks blocks;
    float* out;
};

// The columns of a block of threads: heads of the tile's tokens, token by token.
struct Columns {
    uint first_head;  // of the KV head
    uint group;       // heads of Q for each
    uint first;       // column, where one token has more than kColumns
    QueryTile tile;

    __device__ uint token(uint c) const { return tile.first + (first + c) / group; }
    __device__ uint head(uint c) const { return first_head + (first + c) % group; }
    __device__ bool inside(uint c) const { return first + c < tile.count * group; }
};

template <uint kDim>
__device__ __forceinline__ void load_queries(const Step& s, const Columns& columns, Attend<kDim, kColumns>& a) {
    constexpr uint kWords = kDim / 16;
    for (uint i = threadIdx.x; i < 2 * kColumns * kWords; i += 256) {
        const uint word = i % kWords, column = i / kWords % kColumns, digit = i / kWords / kColumns;
        const uint c = columns.inside(column) ? column : 0;
        const std::size_t head = std::size_t(columns.token(c)) * s.p.heads + columns.head(c);
        const std::int8_t* from = (digit ? s.queries.low : s.queries.high) + head * kDim;
        *reinterpret_cast<int4*>(&a.q[digit][column][16 * word]) = load16(from + 16 * word);
        if (word == 0 && digit == 0) a.q_scale[column] = s.queries.scale[head];
    }
}

template <uint kDim, bool kApart>
__global__ void __launch_bounds__(256, 2) attend_kernel(const __grid_constant__ Step s) {
    after_step_before();
    using Mine = Share<kDim, kColumns>;
    __shared__ Attend<kDim, kColumns> a;
    __shared__ MergeFactors factors[kColumns];
    const uint kv = blockIdx.y / s.parts;
    const uint group = s.p.heads / s.p.kv_heads;
    // The last tiles have most to do.
    const Columns columns{kv * group, group, kColumns * (blockIdx.y % s.parts), s.tiles[gridDim.x - 1 - blockIdx.x]};
    const CacheView cache = s.caches[s.places[columns.tile.first].sequence];
    const std::size_t row = cache.row(s.layer, s.p.kv_heads, kv);
    const uint end = s.places[columns.tile.first + columns.tile.count - 1].position + 1;  // of the keys
    const uint first_block = kApart ? blockIdx.z : 0;
    const uint end_block = min((end + kKeys - 1) / kKeys, kApart ? first_block + 1 : ~0u);
    if (first_block >= end_block) return;

    load_queries(s, columns, a);
    Merged merged;  // of column threadIdx.x
    float running[Mine::kEights][4] = {};
    for (uint block = first_block; block < end_block; block++) {
        const uint first = block * kKeys;
        const uint keys = min(kKeys, end - first);
        if (threadIdx.x < kColumns) {
            const uint c = threadIdx.x;
            const uint seen = columns.inside(c) ? s.places[columns.token(c)].position + 1 : 0;
            a.keys[c] = seen > first ? min(kKeys, seen - first) : 0;
        }
        if (threadIdx.x < keys) a.v_scale[threadIdx.x] = cache.v_scale[row + first + threadIdx.x];
        __syncthreads();
        for (uint tile = threadIdx.x / 32; 16 * tile < keys; tile += 8) {
            KeyTile<kDim> k;
            k.load(cache, row + first, tile, keys);
            make_scores(a, k, tile);
        }
        __syncthreads();
        weigh_keys(a);
        __syncthreads();
        if (!kApart && threadIdx.x < kColumns && a.keys[threadIdx.x] > 0)
            factors[threadIdx.x] = merge_block(merged, a.maximum[threadIdx.x], a.total[threadIdx.x]);
        if (!kApart) __syncthreads();
        const std::int8_t* v = cache.v + row * 2 * kDim + v_offset(first, kDim);
        const auto values = [&](uint j) {
            ValueTile<kDim, kColumns> tile;
            tile.load(v, 64 * j);
            return tile;
        };
        weigh_values(a, keys, values, [&](uint n, uint i, float value) {
            const uint c = Mine::column(n, i);
            if (a.keys[c] == 0) return;
            if constexpr (kApart) {
                const std::size_t at =
                    (std::size_t(columns.token(c)) * s.p.heads + columns.head(c)) * s.blocks.count + block;
                s.blocks.values[at * kDim + Mine::dimension(i)] = value;
                if (Mine::dimension(i) == 0) {
                    s.blocks.maximum[at] = a.maximum[c];
                    s.blocks.total[at] = a.total[c];
                }
            } else {
                running[n][i] = qm_merge(running[n][i], factors[c].keep, value, factors[c].gain);
            }
        });
        __syncthreads();
    }
    if constexpr (kApart) return;
    if (threadIdx.x < kColumns) a.total[threadIdx.x] = merged.total;
    __syncthreads();
#pragma unroll
    for (uint n = 0; n < Mine::kEights; n++)
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            const uint c = Mine::column(n, i);
            if (!Mine::inside(n) || !columns.inside(c)) continue;
            const std::size_t head = std::size_t(columns.token(c)) * s.p.heads + columns.head(c);
            s.out[head * kDim + Mine::dimension(i)] = qm_mul(running[n][i], qm_recip(a.total[c]));
        }
}

// A block of threads for 256 outputs of one token: each thread merges one dimension of one head.
__global__ void __launch_bounds__(256)
    merge_kernel(AttentionParams p, const Place* places, KeyBlocks in, Activations out) {
    after_step_before();
    const uint t = blockIdx.x;
    const uint column = 256 * blockIdx.y + threadIdx.x;
    const uint blocks = places[t].position / kKeys + 1;
    if (column >= out.columns) return;
    const std::size_t first = (std::size_t(t) * p.heads + column / p.head_dim) * in.count;
    Merged merged;
    float running = 0.0f;
    for (std::size_t b = first; b < first + blocks; b++) {
        const MergeFactors f = merge_block(merged, in.maximum[b], in.total[b]);
        running = qm_merge(running, f.keep, in.values[b * p.head_dim + column % p.head_dim], f.gain);
    }
    out.values[std::size_t(t) * out.columns + column] = qm_mul(running, qm_recip(merged.total));
}

__global__ void __launch_bounds__(128) quantise_kernel(uint rows, Activations out) {
    after_step_before();
    const std::size_t item = std::size_t(blockIdx.x) * 4 + threadIdx.x / 32;
    const std::size_t row = item / out.blocks();
    if (row >= rows) return;
    float x[8];
    const auto block = static_cast<uint>(item % out.blocks());
    load8(out.values + row * out.columns, out.columns, 256 * block + 8 * (threadIdx.x & 31), x);
    quantise256(x, out, row, block);
}

}  // namespace

uint query_tile_rows(const AttentionParams& p) {
    const uint group = p.heads / p.kv_heads;
    return group < kColumns ? kColumns / group : 1;
}

cudaError_t attention(const AttentionParams& p, const Queries& queries, const Place* places, const CacheView* caches,
                      uint layer, const QueryTile* tiles, uint tile_count, bool apart, const KeyBlocks& blocks,
                      const Activations& out, cudaStream_t stream) {
    const uint parts = (p.heads / p.kv_heads + kColumns - 1) / kColumns;
    const Step step{p, queries, places, caches, layer, tiles, parts, blocks, out.values};
    const dim3 grid(tile_count, p.kv_heads * parts, apart ? blocks.count : 1);
    const auto kernel = p.head_dim == 64 ? (apart ? attend_kernel<64, true> : attend_kernel<64, false>)
                                         : (apart ? attend_kernel<128, true> : attend_kernel<128, false>);
    cudaError_t error = launch(kernel, grid, 256, stream, step);
    if (error == cudaSuccess && apart)
        error = launch(merge_kernel, dim3(p.tokens, out.blocks()), 256, stream, p, places, blocks, out);
    if (error != cudaSuccess) return error;
    return launch(quantise_kernel, (p.tokens * out.blocks() + 3) / 4, 128, stream, p.tokens, out);
}

}  // namespace qwen3moe::cuda
