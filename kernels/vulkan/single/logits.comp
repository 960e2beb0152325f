#version 460
// The last RMSNorm and the output head; and whether what they read and write is finite.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/norm_input.glsl"
#include "vulkan/single/matrices.glsl"

layout(push_constant) uniform Constants { NormMatricesConstants c; };
layout(binding = 1) writeonly buffer Logits { float logits[]; };
layout(binding = 2) writeonly buffer Flags { uint flags[]; };  // residual, logits

bool infinite(float x) { return qm_abs_bits(x) >= QM_INFINITY_BITS; }

void prepare() {
    if (gl_WorkGroupID.x == 0u)
        for (uint i = gl_LocalInvocationIndex; i < c.norm.p.width; i += kThreads)
            if (infinite(x_at(i))) flags[0] = 1u;
    norm_input(c.norm);
}

void begin(uint at) {}
void put(uint at, float value) {
    logits[at] = value;
    if (infinite(value)) flags[1] = 1u;
}

void main() {
    of = c.of;
    run_tiles(of.tiles);
}
