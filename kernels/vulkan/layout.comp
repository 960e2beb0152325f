#version 460
// One field of many blocks, as they lie in the file, to a plane of its own: a thread for each word of it.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { FieldParams p; };
layout(binding = 0) readonly buffer File { uint file[]; };

uint half_of_field(uint i) {
    if (i >= p.halves) return 0u;
    uint from = i / p.width * p.stride + p.offset + i % p.width;
    return (file[from >> 1] >> (16u * (from & 1u))) & 0xffffu;
}

void main() {
    WordsOut plane = WordsOut(address(p.plane));
    for (uint i = gl_GlobalInvocationID.x; 2u * i < p.halves; i += 256u * gl_NumWorkGroups.x)
        plane.at[i] = half_of_field(2u * i) | (half_of_field(2u * i + 1u) << 16);
}
