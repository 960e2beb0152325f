#version 460
// Attention's second half: the blocks of keys, merged left to right. A thread merges four dimensions of a head.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#define ACTIVATIONS 4
#include "vulkan/quantise.glsl"

layout(push_constant) uniform Constants { AttentionConstants c; };
layout(binding = 0) readonly buffer Places { Place places[]; };
layout(binding = 1) readonly buffer Values { vec4 values[]; };
layout(binding = 2) readonly buffer Maximum { float maximum[]; };
layout(binding = 3) readonly buffer Total { float total[]; };

vec4 merged(uint token, uint column) {
    uint t = token - c.first;
    uint first = (t * c.p.heads + column / c.p.head_dim) * c.count;
    uint end = first + places[token].position / QM_KEY_BLOCK + 1u;
    float running_maximum = QM_SCORE_FLOOR, running_total = 0.0f;
    vec4 running = vec4(0.0f);
    for (uint b = first; b < end; b++) {
        float next = qm_max(maximum[b], running_maximum);
        float keep = qm_exp(qm_sub(running_maximum, next));
        float gain = qm_exp(qm_sub(maximum[b], next));
        running_total = qm_merge(running_total, keep, total[b], gain);
        vec4 value = values[(b * c.p.head_dim + column % c.p.head_dim) / 4u];
        [[unroll]] for (uint i = 0u; i < 4u; i++) running[i] = qm_merge(running[i], keep, value[i], gain);
        running_maximum = next;
    }
    float inverse = qm_recip(running_total);
    [[unroll]] for (uint i = 0u; i < 4u; i++) running[i] = qm_mul(running[i], inverse);
    return running;
}

void main() {
    uint token = c.first + gl_WorkGroupID.y;
    uint columns = c.p.heads * c.p.head_dim;  // a multiple of 64
    uint block = kQuantised * gl_WorkGroupID.x + quantise_block();
    uint column = 256u * block + quantise_column();
    vec4 y = column < columns ? merged(token, column) : vec4(0.0f);
    make_block(y, 256u * block < columns, columns, token, block);
}
