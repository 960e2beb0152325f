#version 460
// The choice of a token, its last part: the token and its log-probability. A workgroup for each row.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "shared/choose.h"
#include "vulkan/choice.glsl"
#include "vulkan/tree256.glsl"

layout(push_constant) uniform Constants { ChooseConstants c; };
layout(binding = 0) readonly buffer Logits { float logits[]; };
layout(binding = 2) readonly buffer Sums { float sums[]; };          // [rows][256]
layout(binding = 3) writeonly buffer Choices { uvec2 choices[]; };  // the bits of a Choice for each of the wanted rows

void main() {
    uint row = gl_WorkGroupID.x, t = gl_LocalInvocationIndex;
    uint token = largest_of_row(row).y;
    vec4 share = vec4(0.0f);
    [[unroll]] for (uint j = 0u; j < kShare; j++) share[j] = sums[256u * row + t + kThreads * j];
    float maximum = logits[row * c.p.vocab + token];
    float log_probability = qm_log_probability(maximum, maximum, tree256(share));
    if (t == 0u) choices[c.first + row] = uvec2(token, qm_bits(log_probability));
}
