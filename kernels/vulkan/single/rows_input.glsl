// Rows of floats, as X16 in shared memory. Whoever includes it says where they are.
#include "vulkan/single/input.glsl"

vec4 input_at(uint block, uint quad);  // zeros past a row's end

void rows_input() {
    clear_input();
    barrier();
    [[unroll]] for (uint r = 0u; r < kRounds; r++) find_most(input_block(r), input_at(input_block(r), input_quad()));
    barrier();
    [[dont_unroll]] for (uint r = 0u; r < kRounds; r++)
        make_block(input_block(r), input_at(input_block(r), input_quad()));
    barrier();
}
