// What RMSNorm multiplies a row by. Whoever includes it says where x_at(column) is.
#include "vulkan/tree256.glsl"

float x_at(uint column);

const uint kLoads = 8u;  // strides of 256 columns that are on their way at a time

float norm_factor(NormParams p) {
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
    return qm_norm_factor(qm_settle(tree256(squares)), p.inverse_width, p.eps);
}
