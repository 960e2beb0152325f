// RMSNorm of the residual, as X16 in shared memory. The residual is bound at 0.
#include "vulkan/norm_factor.glsl"
#include "vulkan/single/input.glsl"

layout(binding = 0) readonly buffer Residual { vec4 residual[]; };

float x_at(uint column) { return residual[column >> 2][column & 3u]; }

vec4 normed(vec4 x, float factor, vec4 weight) {
    return vec4(qm_norm(x.x, factor, weight.x), qm_norm(x.y, factor, weight.y), qm_norm(x.z, factor, weight.z),
                qm_norm(x.w, factor, weight.w));
}

void norm_input(NormConstants c) {
    Vectors weight = Vectors(address(c.weight));
    // On their way before the factor is made; then once more, from near by.
    vec4 x[kRounds], scale[kRounds];
    [[unroll]] for (uint r = 0u; r < kRounds; r++) {
        uint quad = min(64u * input_block(r) + input_quad(), c.p.width / 4u - 1u);
        x[r] = residual[quad];
        scale[r] = weight.at[quad];
    }
    clear_input();
    float factor = norm_factor(c.p);
    [[unroll]] for (uint r = 0u; r < kRounds; r++) find_most(input_block(r), normed(x[r], factor, scale[r]));
    barrier();
    [[dont_unroll]] for (uint r = 0u; r < kRounds; r++) {
        uint quad = 64u * input_block(r) + input_quad();
        vec4 y = vec4(0.0f);
        if (4u * quad < c.p.width) y = normed(residual[quad], factor, weight.at[quad]);
        make_block(input_block(r), y);
    }
    barrier();
}
