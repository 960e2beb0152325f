// The CPU's steps: one function per step of the plan, each doing a range of its items so that threads can share it.
// Every file beside this is compiled once per instruction set into a namespace of its own; `steps()` is their table.
// No step allocates or throws, and none uses a template of the standard library: a function that two variants share by
// name could be linked from the wrong one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared/selftest.h"
#include "shared/steps.h"

namespace qwen3moe::cpu {

// 256 activations as X16: what a quantised weight block is multiplied by.
struct alignas(64) X16Block {
    std::int8_t high[256];
    std::int8_t low[256];
    std::int32_t sums[16];       // of X over 16 values each: weights with a minimum need them
    std::int32_t sums_high[16];  // and of the high digits: weights with a bias need both
    std::int32_t sums32[8];      // of X over 32 values each
    float scale;
};

// Rows of activations in both forms; a row of blocks covers `columns` values, the last block padded with zeros.
struct Rows {
    const float* values;
    const X16Block* blocks;
    std::uint32_t columns;

    std::uint32_t blocks_per_row() const { return (columns + 255) / 256; }
};
struct MutableRows {
    float* values;
    X16Block* blocks;
    std::uint32_t columns;

    std::uint32_t blocks_per_row() const { return (columns + 255) / 256; }
    operator Rows() const { return {values, blocks, columns}; }
};

// A matrix as it lies in the file: rows of `columns` weights.
struct Weight {
    const std::uint8_t* data;
    std::uint32_t type;  // gguf::Type
    std::uint32_t columns;
    std::size_t row_bytes;
};

// One layer of one sequence's cache. The heads of K and V are X16 blocks of head_dim values, of which neighbours that a
// product adds up lie side by side: of K two values of a key, for 16 keys at a time; of V two keys' values.
inline constexpr std::uint32_t kKeyGroup = 16;
struct KvLayer {
    std::int16_t* k;     // [kv_heads][rows / 16][head_dim / 2][16][2]
    float* k_scale;      // [kv_heads][rows]
    std::int16_t* v;     // [kv_heads][rows / 2][head_dim][2]
    float* v_scale;      // [kv_heads][rows]
    std::uint32_t rows;  // the context, rounded up to whole groups
};

// Where each row of the batch belongs.
struct Place {
    std::uint32_t sequence;  // index into the batch's KvLayers
    std::uint32_t position;
};

struct Queries {
    std::int16_t* high;  // [tokens][heads][head_dim], the digits of Q
    std::int16_t* low;
    float* scale;  // [tokens][heads], times score_scale
};

// The rows of the batch that each expert works on, grouped: expert e has slots [first[e], first[e + 1]).
// A slot is token * used + rank.
struct ExpertSlots {
    const std::uint32_t* first;   // [experts + 1]
    const std::uint32_t* slot;    // [tokens * used]
    const std::uint32_t* active;  // the experts that have slots
    std::uint32_t tile_rows;      // of its matrix that are an item
};

struct Range {
    std::uint32_t first;
    std::uint32_t last;
};

struct Steps {
    const char* name;

    // items: tokens
    void (*embed)(const EmbedParams&, const Weight&, const std::int32_t* tokens, float* residual, Range);
    // items: tokens
    void (*norm)(const NormParams&, const float* x, const float* weight, const MutableRows& out, Range);
    // items: rows of Q, then of K, then of V
    void (*qkv)(const QkvParams&, const Weight& q, const Weight& k, const Weight& v, const Rows& in, float* q_out,
                float* k_out, float* v_out, Range);
    // items: token * (heads + 2 * kv_heads): Q heads and K heads are normed and rotated in place, K and V appended
    void (*rope_append)(const RopeAppendParams&, float* q, float* k, const float* v, const float* q_norm,
                        const float* k_norm, const float* rope, const Place*, const KvLayer*, const Queries&, Range);
    // items: (runs of `heads` heads) * token; a run's outputs are whole blocks of 256, or the row's last
    void (*attention)(const AttentionParams&, std::uint32_t heads, const Queries&, const Place*, const KvLayer*,
                      const MutableRows& out, Range);
    // items: rows of the matrix; adds to the residual
    void (*output)(const OutputParams&, const Weight&, const Rows& in, float* residual, Range);
    // items: rows of the matrix
    void (*router)(const RouterParams&, const Weight&, const Rows& in, float* logits, Range);
    // items: tokens
    void (*topk)(const TopkParams&, const float* logits, float* probabilities, std::int32_t* ids, float* weights,
                 Range);
    // items: active expert * (tiles of tile_rows rows)
    void (*gate_up)(const GateUpParams&, const Weight& gate, const Weight& up, const Rows& in, const ExpertSlots&,
                    float* gate_out, float* up_out, Range);
    // items: rows
    void (*swiglu)(const SwigluParams&, const float* gate, const float* up, const MutableRows& out, Range);
    // items: active expert * (tiles of tile_rows rows)
    void (*down)(const DownParams&, const Weight&, const Rows& in, const ExpertSlots&, float* out, Range);
    // items: tokens; adds to the residual
    void (*combine)(const CombineParams&, const float* expert_out, const float* weights, float* moe_out,
                    float* residual, Range);
    // items: rows of the matrix
    void (*logits)(const LogitsParams&, const Weight&, const Rows& in, float* logits, Range);
    // items: rows of logits, all finite
    void (*choose)(const ChooseParams&, const float* logits, Choice* out, Range);

    // What the steps are made of, for the self-test and the tests.
    // Calls a function of the arithmetic by its number in shared/functions.h, n times; arguments [n][its arity] as bits
    void (*call)(std::uint32_t function, const std::uint32_t* arguments, std::uint32_t* out, std::size_t n);
    // The hash of the self-test, or of a function of one argument over a run of inputs
    QmHash (*selftest)(const HashParams&);
    void (*quantise)(const float* x, std::uint32_t n, X16Block* out);  // n values into ceil(n / 256) blocks
    void (*dequantise)(const Weight&, std::uint32_t row, float* out);  // one row of weights as floats
    // out[t * stride + r - first]: rows [first, last) times `tokens` rows of activations
    void (*dot)(const Weight&, Range rows, const Rows& in, std::uint32_t tokens, float* out, std::size_t stride);
};

}  // namespace qwen3moe::cpu
