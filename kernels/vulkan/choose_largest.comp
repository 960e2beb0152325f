#version 460
// The choice of a token, its first part: the largest logit of each part of a row.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "shared/choose.h"
#include "vulkan/largest.glsl"

layout(push_constant) uniform Constants { ChooseParams p; };
layout(binding = 0) readonly buffer Logits { float logits[]; };
layout(binding = 1) writeonly buffer Largest { uvec2 largest[]; };  // [rows][QM_CHOICE_PARTS]

const uint kAhead = 4u;  // logits that are on their way at a time

void main() {
    uint row = gl_WorkGroupID.y, part = gl_WorkGroupID.x;
    uvec2 own = uvec2(0u);
    const uint step = QM_CHOICE_PARTS * kThreads;
    for (uint first = part * kThreads + gl_LocalInvocationIndex; first < p.vocab; first += kAhead * step) {
        float x[kAhead];
        [[unroll]] for (uint j = 0u; j < kAhead; j++) x[j] = logits[row * p.vocab + min(first + j * step, p.vocab - 1u)];
        [[unroll]] for (uint j = 0u; j < kAhead; j++)
            own = first_of(own, uvec2(qm_logit_key(x[j]), min(first + j * step, p.vocab - 1u)));
    }
    own = block_largest(own);
    if (gl_LocalInvocationIndex == 0u) largest[row * QM_CHOICE_PARTS + part] = own;
}
