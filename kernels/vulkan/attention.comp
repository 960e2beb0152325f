#version 460
// Causal attention, its first half: every block of 256 keys of every head by itself. merge.comp has the second.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/attend.glsl"

layout(push_constant) uniform Constants { AttentionConstants c; };
layout(binding = 0) readonly buffer QueryDigits { uvec4 query_digits[]; };
layout(binding = 1) readonly buffer QueryScale { float query_scales[]; };
layout(binding = 2) readonly buffer Places { Place places[]; };
layout(binding = 3) readonly buffer Caches { uvec2 caches[]; };
layout(binding = 4) writeonly buffer Values { vec4 values[]; };     // [tokens][heads][count][head_dim]
layout(binding = 5) writeonly buffer Maximum { float maximum[]; };  // [tokens][heads][count]
layout(binding = 6) writeonly buffer Total { float total[]; };      // [tokens][heads][count]

uvec2 cache;    // of the token's sequence
uint row;       // of the block's first key
uint rows;      // of the cache
uint first_at;  // where the first head's block goes

uvec4 key_digits(uint j, uint quad) { return Quads(cache).at[qm_key_quad(row + j, quad, kDim)]; }
float key_scale(uint j) { return Floats(after(cache, rows * 4u * kDim)).at[row + j]; }
float value_scale(uint j) { return Floats(after(cache, rows * 4u * kDim)).at[rows + row + j]; }
ivec2 value_at(uint j, uint lane) { return ivec2(Pairs(after(cache, rows * 2u * kDim)).at[(row + j) * kLanes + lane]); }
uvec4 own_digits(uint quad) { return uvec4(0u); }  // the token's own key is in the cache
ivec2 own_value_at(uint lane) { return ivec2(0); }
void put_values(uint h, uint lane, vec4 x) { values[(first_at + h * c.count) * kLanes + lane] = x; }
void put_sums(uint h, float block_maximum, float block_total) {
    maximum[first_at + h * c.count] = block_maximum;
    total[first_at + h * c.count] = block_total;
}

void key_block(uint b, uint first_head, uint t) {
    Place place = places[c.first + t];
    uint first = b * QM_KEY_BLOCK;
    if (first > place.position) return;
    uint head = (c.first + t) * c.p.heads + first_head;
    for (uint i = gl_LocalInvocationIndex; i < kHeads * 2u * kQuads; i += kThreads)
        query[i] = query_digits[head * 2u * kQuads + i];
    for (uint i = gl_LocalInvocationIndex; i < kHeads; i += kThreads) query_scale[i] = query_scales[head + i];
    barrier();
    cache = caches[c.layer * c.sequences + place.sequence];
    rows = c.p.kv_heads * place.context;
    row = first_head / (c.p.heads / c.p.kv_heads) * place.context + first;
    first_at = (t * c.p.heads + first_head) * c.count + b;
    attend(min(QM_KEY_BLOCK, place.position + 1u - first), false);
}

void main() {
    for (uint b = gl_WorkGroupID.x; b < c.count; b += gl_NumWorkGroups.x)
        key_block(b, kHeads * gl_WorkGroupID.y, gl_WorkGroupID.z);
}
