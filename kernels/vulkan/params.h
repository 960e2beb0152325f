// What shaders are told beside the parameters of their steps: the same bytes in C++ and GLSL, four-byte scalars only,
// at most 128 bytes of push constants.
#ifndef QWEN3MOE_VULKAN_PARAMS_H
#define QWEN3MOE_VULKAN_PARAMS_H

#include "shared/steps.h"

QM_NAMESPACE_BEGIN

struct Address {
    uint low;
    uint high;
};

// A matrix whose blocks are taken apart into planes, as backend/layout.h says; its rows follow each other in every
// plane.
struct WeightAddress {
    Address plane0;
    uint plane1;  // units of QM_PLANE_UNIT bytes after plane 0
    uint plane2;
    uint plane3;
};
QM_CONST uint QM_PLANE_UNIT = 256u;

// One matrix and where its products go.
struct DotJob {
    WeightAddress w;
    uint rows;  // of one expert
    uint to;    // the first float of its [slots][rows] in the output
};

// Up to three matrices of one type with the same activations.
struct DotParams {
    DotJob jobs[3];
    uint count;    // of jobs
    uint columns;  // of a row of weights and activations
    uint slots;
    uint slots_per_row;  // a slot reads row first_row + slot / slots_per_row of the activations
    uint first_row;
    uint tiles;      // the most groups of slots that there can be
    uint row_tiles;  // groups of rows, of all jobs
    uint ways;       // the bits below
};
QM_CONST uint QM_DOT_ADD = 1u;      // to what is there, as the residual wants it
QM_CONST uint QM_DOT_TILED = 2u;    // in tiles of QM_TILE slots that share the weights read, or slot by slot
QM_CONST uint QM_DOT_EXPERTS = 4u;  // each slot has its expert's matrix, or there is one for all

QM_CONST uint QM_TILE = 32u;       // slots
QM_CONST uint QM_TILE_ROWS = 64u;  // rows of weights that a tile of slots meets at a time
QM_CONST uint QM_FLOAT_ROWS = 2u;  // rows of floats that a tile of slots meets at a time
QM_CONST uint QM_FLOAT_SLOTS = 4u;
QM_CONST uint QM_SET_ROWS = 2u;  // rows that a set of threads makes of one slot

// How many of a row's items are taken side by side by so many groups of eight threads: rows of more are taken in equal
// strides.
QM_FN uint qm_span(uint items, uint groups) {
    uint strides = (items + groups - 1u) / groups;
    return (items + strides - 1u) / strides;
}
// Rows that such groups make at a time.
QM_FN uint qm_tile_rows(uint items, uint groups) { return groups / qm_span(items, groups) * QM_SET_ROWS; }

struct EmbedConstants {
    EmbedParams p;
    WeightAddress w;
};

struct NormConstants {
    NormParams p;
    Address weight;
};

struct CombineNormConstants {
    CombineParams combine;
    NormConstants norm;
};

struct RopeAppendConstants {
    RopeAppendParams p;
    Address q_norm;
    Address k_norm;
    Address rope;
    uint layer;
    uint sequences;  // of the batch
};

struct AttentionConstants {
    AttentionParams p;
    uint first;  // of the tokens, that this dispatch begins with; p.tokens of them
    uint layer;
    uint sequences;
    uint count;  // of blocks of keys, enough for the longest sequence of the batch
};

// ---- one token, in few dispatches: kernels/vulkan/single

QM_CONST uint QM_MOST_USED = 32u;  // experts of a token

// Up to three matrices of one type times the same row.
struct MatricesParams {
    DotJob jobs[3];
    uint count;    // of jobs
    uint columns;  // of a row
    uint tiles;    // of rows, of all jobs
};

struct NormMatricesConstants {
    NormConstants norm;
    MatricesParams of;
};

struct SingleAttentionConstants {
    RopeAppendConstants rope;
    uint count;  // of blocks of keys, enough for the sequence
};

struct RouterConstants {
    NormConstants norm;
    WeightAddress w;
};

struct GateUpConstants {
    NormConstants norm;
    TopkParams topk;
    WeightAddress gate;
    WeightAddress up;
    uint ff;
    uint tiles;  // of elements
};

struct DownConstants {
    DownParams p;
    WeightAddress w;
    uint tiles;  // of rows
};

// ---- the choice of a token

QM_CONST uint QM_CHOICE_PARTS = 64u;  // of a row, that each have a workgroup to find their largest
QM_CONST uint QM_CHOICE_LANES = 16u;  // partial sums that a workgroup makes

struct ChooseConstants {
    ChooseParams p;
    uint first;  // of the wanted rows, that this dispatch begins with
};

// ---- the rest

struct FiniteParams {
    uint count;
    uint flag;
};

struct GroupParams {
    uint slots;
    uint experts;
};

// One field of `blocks` blocks as they lie in the file goes to its plane. All by halves: every offset and size is even.
struct FieldParams {
    Address plane;
    uint halves;
    uint stride;  // of blocks
    uint offset;  // in a block
    uint width;
};

// Where a row of the batch belongs.
struct Place {
    uint sequence;
    uint position;
    uint context;  // of its cache
};

// One layer of a sequence's cache, from its address on:
//   K      in tiles of QM_KEY_TILE keys: [kv_heads * context / 32][high and low digits, 16 at a time][key][16 bytes]
//   V      [kv_heads * context][head_dim] of 16 bits
//   the scales of K, then of V: [kv_heads * context]
// so that neighbouring threads, which have neighbouring keys, read neighbouring bytes.
QM_CONST uint QM_KEY_TILE = 32u;
QM_CONST uint QM_KEY_BLOCK = 256u;  // keys that attention takes together

// Where 16 digits of a key are, in units of 16 bytes; quad: of the high digits, then of the low ones.
QM_FN uint qm_key_quad(uint row, uint quad, uint head_dim) {
    return (row / QM_KEY_TILE * (head_dim / 8u) + quad) * QM_KEY_TILE + row % QM_KEY_TILE;
}

QM_NAMESPACE_END

#endif
