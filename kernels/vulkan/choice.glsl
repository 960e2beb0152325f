// A row's largest logit, from those of its parts.
#include "vulkan/largest.glsl"

layout(binding = 1) readonly buffer Largest { uvec2 largest[]; };  // [rows][QM_CHOICE_PARTS]

uvec2 largest_of_row(uint row) {
    uvec2 own = uvec2(0u);
    for (uint part = gl_LocalInvocationIndex; part < QM_CHOICE_PARTS; part += kThreads)
        own = first_of(own, largest[row * QM_CHOICE_PARTS + part]);
    return block_largest(own);
}
