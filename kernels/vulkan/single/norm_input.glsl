// RMSNorm of the residual, as X16 in shared memory. The residual is bound at 0.
#include "vulkan/norm_factor.glsl"
#include "vulkan/single/input.glsl"

layout(binding = 0) readonly buffer Residual { vec4 residual[]; };

float x_at(uint column) { return residual[column >> 2][column & 3u]; }

void norm_input(NormConstants c) {
    Vectors weight = Vectors(address(c.weight));
    vec4 x[kRounds], scale[kRounds];
    [[unroll]] for (uint r = 0u; r < kRounds; r++) {
        uint quad = 64u * input_block(r) + input_quad();
        bool inside = 4u * quad < c.p.width;
        x[r] = inside ? residual[quad] : vec4(0.0f);
        scale[r] = inside ? weight.at[quad] : vec4(0.0f);
    }
    clear_input();
    float factor = norm_factor(c.p);
    [[unroll]] for (uint r = 0u; r < kRounds; r++)
        if (4u * (64u * input_block(r) + input_quad()) < c.p.width)
            [[unroll]] for (uint i = 0u; i < 4u; i++) x[r][i] = qm_norm(x[r][i], factor, scale[r][i]);
    make_input(x);
}
