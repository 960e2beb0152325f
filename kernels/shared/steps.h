// One parameter struct per step of the plan, the same bytes in C++, CUDA and GLSL: four-byte scalars only.
// Shapes: a row is one token of the batch; `used` is the number of experts a token goes to; `ff` an expert's width.
#ifndef QWEN3MOE_SHARED_STEPS_H
#define QWEN3MOE_SHARED_STEPS_H

#include "arithmetic.h"

QM_NAMESPACE_BEGIN

struct EmbedParams {
    uint tokens;
    uint width;
};

struct NormParams {
    uint tokens;
    uint width;
    float inverse_width;
    float eps;
};

struct QkvParams {
    uint tokens;
    uint width;    // columns of all three matrices
    uint q_rows;   // heads * head_dim
    uint kv_rows;  // kv_heads * head_dim
};

struct RopeAppendParams {
    uint tokens;
    uint heads;
    uint kv_heads;
    uint head_dim;
    float inverse_head_dim;
    float eps;
    float score_scale;  // 1 / sqrt(head_dim), folded into the scale of Q
};

struct AttentionParams {
    uint tokens;
    uint heads;
    uint kv_heads;
    uint head_dim;
};

struct OutputParams {
    uint tokens;
    uint columns;  // heads * head_dim
    uint width;
};

struct RouterParams {
    uint tokens;
    uint width;
    uint experts;
};

struct TopkParams {
    uint tokens;
    uint experts;
    uint used;
    uint renormalise;  // 1: the chosen weights are scaled to sum to 1
};

struct GateUpParams {
    uint tokens;
    uint used;
    uint experts;
    uint width;
    uint ff;
};

struct SwigluParams {
    uint rows;  // tokens * used
    uint ff;
};

struct DownParams {
    uint tokens;
    uint used;
    uint experts;
    uint ff;
    uint width;
};

struct CombineParams {
    uint tokens;
    uint used;
    uint width;
};

struct LogitsParams {
    uint rows;  // of the batch, those whose logits are wanted
    uint width;
    uint vocab;
};

struct ChooseParams {
    uint rows;
    uint vocab;
};

// What is chosen of a row of logits.
struct Choice {
    uint token;
    float log_probability;
};

QM_NAMESPACE_END

#endif
