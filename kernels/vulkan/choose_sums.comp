#version 460
// The choice of a token, its second part: of the 256 partial sums of a row's exponentials those of QM_CHOICE_LANES
// neighbours. All threads make exponentials, then one for each sum adds them in rising order.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/choice.glsl"

layout(push_constant) uniform Constants { ChooseParams p; };
layout(binding = 0) readonly buffer Logits { float logits[]; };
layout(binding = 2) writeonly buffer Sums { float sums[]; };  // [rows][256]

const uint kAhead = 8u;                            // logits that are on their way at a time
const uint kStrides = kThreads / QM_CHOICE_LANES;   // of 256 logits, that the threads take side by side
shared float exponentials[kAhead * kThreads];      // [kAhead * kStrides][QM_CHOICE_LANES]

void main() {
    uint row = gl_WorkGroupID.y, t = gl_LocalInvocationIndex;
    uint own = QM_CHOICE_LANES * gl_WorkGroupID.x + t % QM_CHOICE_LANES + 256u * (t / QM_CHOICE_LANES);
    float maximum = logits[row * p.vocab + largest_of_row(row).y];
    float sum = 0.0f;
    for (uint first = 0u; first < p.vocab; first += 256u * kStrides * kAhead) {
        float x[kAhead];
        [[unroll]] for (uint j = 0u; j < kAhead; j++)
            x[j] = logits[row * p.vocab + min(first + 256u * kStrides * j + own, p.vocab - 1u)];
        barrier();  // the exponentials before are summed
        [[unroll]] for (uint j = 0u; j < kAhead; j++)
            exponentials[kThreads * j + t] =
                first + 256u * kStrides * j + own < p.vocab ? qm_probability(x[j], maximum) : 0.0f;
        barrier();
        if (t < QM_CHOICE_LANES)
            for (uint i = t; i < kAhead * kThreads; i += QM_CHOICE_LANES) sum = qm_add(sum, exponentials[i]);
    }
    if (t < QM_CHOICE_LANES) sums[256u * row + own] = sum;
}
