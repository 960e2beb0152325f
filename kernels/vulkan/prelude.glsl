// What every shader begins with: the language it is written in, the arithmetic, and memory by its address.
// Weights and caches are read by address, because they outgrow the range that a descriptor may have; all else is bound,
// read-only where it is read, so that validation sees a barrier that is missing.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
#include "vulkan/params.h"

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Pairs { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Quads { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer FloatsOut { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer WordsOut { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer PairsOut { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer QuadsOut { uvec4 at[]; };

uvec2 address(Address a) { return uvec2(a.low, a.high); }

// 64-bit addresses as two words: not every device has 64-bit integers.
uvec2 after(uvec2 a, uint bytes) {
    uint low = a.x + bytes;
    return uvec2(low, a.y + (low < a.x ? 1u : 0u));
}

// `bytes` for each of `rows`, where the product may need more than 32 bits.
uvec2 row_after(uvec2 a, uint rows, uint bytes) {
    uint high, low;
    umulExtended(rows, bytes, high, low);
    uvec2 sum = after(a, low);
    return uvec2(sum.x, sum.y + high);
}

// Half `i` of an array of 16-bit values.
uint half_at(uvec2 a, uint i) { return (Words(a).at[i >> 1] >> (16u * (i & 1u))) & 0xffffu; }
