// RMSNorm of one row by a workgroup, as floats and as X16. Whoever includes it says where x_at(column) is.
#include "vulkan/quantise.glsl"
#include "vulkan/tree256.glsl"

float x_at(uint column);

const uint kLoads = 8u;  // strides of 256 columns that are on their way at a time

void norm_row(NormParams p, Address weight_address, uint row) {
    Floats weight = Floats(address(weight_address));
    vec4 squares = vec4(0.0f);
    for (uint first = gl_LocalInvocationIndex; first < p.width; first += kLoads * 256u) {
        vec4 loaded[kLoads];
        [[unroll]] for (uint m = 0u; m < kLoads; m++)
            [[unroll]] for (uint j = 0u; j < kShare; j++) {
                uint i = first + 256u * m + kThreads * j;
                loaded[m][j] = i < p.width ? x_at(i) : 0.0f;
            }
        [[unroll]] for (uint m = 0u; m < kLoads; m++)
            [[unroll]] for (uint j = 0u; j < kShare; j++)
                squares[j] = qm_mul_add(loaded[m][j], loaded[m][j], squares[j]);
    }
    float factor = qm_norm_factor(qm_settle(tree256(squares)), p.inverse_width, p.eps);

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
