#version 460
// Slots (token * used + rank) in the order of their experts, cut into tiles of at most QM_TILE slots of one expert: a
// counting sort by one workgroup. The order of an expert's slots does not show in a result.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"

layout(local_size_x = 256) in;
layout(push_constant) uniform Constants { GroupParams p; };
layout(binding = 0) readonly buffer Ids { uint ids[]; };
layout(binding = 1) coherent buffer Cursor { uint cursor[]; };   // [experts], counts, then places
layout(binding = 2) writeonly buffer Order { uint order[]; };    // [slots]
layout(binding = 3) writeonly buffer Tiles { uvec4 tiles[]; };   // how many; then expert, first in `order`, slots

shared uvec2 sums[256];  // slots and tiles of the experts before

void main() {
    uint t = gl_LocalInvocationIndex;
    for (uint e = t; e < p.experts; e += 256u) cursor[e] = 0u;
    memoryBarrierBuffer();
    barrier();
    for (uint s = t; s < p.slots; s += 256u) atomicAdd(cursor[ids[s]], 1u);
    memoryBarrierBuffer();
    barrier();

    uint each = (p.experts + 255u) / 256u;
    uint begin = min(p.experts, t * each), end = min(p.experts, begin + each);
    uvec2 own = uvec2(0u);
    for (uint e = begin; e < end; e++) own += uvec2(cursor[e], (cursor[e] + QM_TILE - 1u) / QM_TILE);
    sums[t] = own;
    barrier();
    for (uint step = 1u; step < 256u; step *= 2u) {
        uvec2 before = t >= step ? sums[t - step] : uvec2(0u);
        barrier();
        sums[t] += before;
        barrier();
    }
    if (t == 255u) tiles[0] = uvec4(sums[255].y, 0u, 0u, 0u);
    uint first = sums[t].x - own.x;
    uint tile = sums[t].y - own.y;
    for (uint e = begin; e < end; e++) {
        uint count = cursor[e];
        cursor[e] = first;
        for (uint i = 0u; i < count; i += QM_TILE) tiles[++tile] = uvec4(e, first + i, min(QM_TILE, count - i), 0u);
        first += count;
    }
    memoryBarrierBuffer();
    barrier();
    for (uint s = t; s < p.slots; s += 256u) order[atomicAdd(cursor[ids[s]], 1u)] = s;
}
