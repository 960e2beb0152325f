#version 460
// The experts' outputs, weighted and summed in rank order, then added to the residual: a thread for each element.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"

layout(local_size_x = 128) in;
layout(push_constant) uniform Constants { CombineParams p; };
layout(binding = 0) readonly buffer ExpertOut { float expert_out[]; };  // [tokens][used][width]
layout(binding = 1) readonly buffer Weights { float weights[]; };       // [tokens][used]
layout(binding = 2) writeonly buffer MoeOut { float moe_out[]; };
layout(binding = 3) buffer Residual { float residual[]; };

void main() {
    uint i = gl_GlobalInvocationID.x, t = gl_WorkGroupID.y;
    if (i >= p.width) return;
    uint slot = t * p.used;
    float sum = qm_mul(weights[slot], expert_out[slot * p.width + i]);
    for (uint r = 1u; r < p.used; r++) sum = qm_mul_add(weights[slot + r], expert_out[(slot + r) * p.width + i], sum);
    uint at = t * p.width + i;
    moe_out[at] = sum;
    residual[at] = qm_add(residual[at], sum);
}
