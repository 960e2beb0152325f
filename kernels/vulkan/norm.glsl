// RMSNorm of one row by a workgroup, as floats and as X16. Whoever includes it says where x_at(column) is.
#include "vulkan/norm_factor.glsl"
#include "vulkan/quantise.glsl"

void norm_row(NormParams p, Address weight_address, uint row) {
    Floats weight = Floats(address(weight_address));
    float factor = norm_factor(p);
    uint blocks = (p.width + 255u) / 256u;
    for (uint first = 0u; first < blocks; first += kQuantised) {
        uint block = first + quantise_block();
        uint column = 256u * block + quantise_column();
        vec4 y = vec4(0.0f);
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (column + i < p.width) y[i] = qm_norm(x_at(column + i), factor, weight.at[column + i]);
        make_block(y, block < blocks, p.width, row, block);
    }
}
