#version 460
// Rows of the embedding become the residual: a thread takes a part of a block, or a float.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/unpack.glsl"

layout(local_size_x = 64) in;
layout(push_constant) uniform Constants { EmbedConstants c; };
layout(binding = 0) readonly buffer Tokens { uint tokens[]; };
layout(binding = 1) writeonly buffer Residual { float residual[]; };

float value_of(Part part, vec2 factors, uint i, int q) {
    if (!kSuper) {
        float product = qm_mul(part.d, float(q));
        return kMin ? qm_add(product, part.dmin) : product;
    }
    if (kMin) return qm_weight_min(factors.x, part.scale[i], q, factors.y, part.minimum[i]);
    return qm_weight(factors.x, part.scale[i], q);
}

void main() {
    uint token = tokens[gl_WorkGroupID.x], width = c.p.width;
    uint row = gl_WorkGroupID.x * width;
    if (kFloats) {
        for (uint i = gl_LocalInvocationIndex; i < width; i += 64u)
            residual[row + i] = qm_settle(float_at(c.w, token * width + i));
        return;
    }
    for (uint at = gl_LocalInvocationIndex; at < width / 32u; at += 64u) {
        uint block = at / 8u, k = at & 7u;
        Part part = part_of(c.w, width, token, block, k);
        vec2 factors = kSuper ? factors_of(c.w, width, token, block) : vec2(0.0f);
        for (uint i = 0u; i < 2u; i++)
            for (uint j = 0u; j < 16u; j++) {
                int q = int(part.q[i][j / 4u] << (24u - 8u * (j & 3u))) >> 24;
                residual[row + 256u * block + 16u * run_of(k, i) + j] = qm_settle(value_of(part, factors, i, q));
            }
    }
}
