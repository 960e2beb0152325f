#version 460
// Norms, rotation and append of the token's heads, and attention: a workgroup for each block of 256 keys of kHeads
// heads that share them. The last of their blocks to finish merges them all, left to right.
#extension GL_GOOGLE_include_directive : require
#include "vulkan/prelude.glsl"
#include "vulkan/single/heads.glsl"

layout(push_constant) uniform Constants { SingleAttentionConstants c; };
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
layout(binding = 3) readonly buffer Places { Place places[]; };
layout(binding = 4) readonly buffer Caches { uvec2 caches[]; };        // [layers]
layout(binding = 5) coherent buffer Values { vec4 values[]; };         // [heads][count][head_dim]
layout(binding = 6) coherent buffer Maximum { float maxima[]; };       // [heads][count]
layout(binding = 7) coherent buffer Total { float totals[]; };         // [heads][count]
layout(binding = 8) coherent buffer Done { uint done[]; };             // blocks that are finished, of kHeads heads
layout(binding = 9) writeonly buffer Attention { vec4 attention[]; };  // [heads][head_dim]

const uint kChunk = 32u;               // blocks whose factors are made at a time
shared vec2 factors[kHeads * kChunk];  // keep, gain
shared float chunk_maxima[kHeads * kChunk];
shared float block_maxima[kHeads], block_totals[kHeads];
shared float running_maxima[kHeads];
shared bool last_to_finish;

uvec2 cache;  // of the sequence
uint row;     // of the block's first key
uint rows;    // of the cache
uint own;     // the token's own key in the block, if it is there; other workgroups may not have written it yet
uint first_head;
bool alone;  // there is no other block

uvec4 key_digits(uint j, uint quad) { return Quads(cache).at[qm_key_quad(row + j, quad, kDim)]; }
float scale_at(uint i) { return Floats(after(cache, rows * 4u * kDim)).at[i]; }
float key_scale(uint j) { return j == own ? own_scales[0] : scale_at(row + j); }
float value_scale(uint j) { return j == own ? own_scales[1] : scale_at(rows + row + j); }
ivec2 value_at(uint j, uint lane) {
    return ivec2(Pairs(after(cache, rows * 2u * kDim)).at[(row + j) * kLanes + lane]);
}

uvec4 own_digits(uint quad) { return own_key[quad]; }
ivec2 own_value_at(uint lane) { return own_value[lane]; }

uint at_block(uint h, uint b) { return (first_head + h) * c.count + b; }

// Running maximum, total and value as attention begins with them, and with one block more.
struct Merged {
    float total;
    vec4 value;
};
vec2 factors_for(float before, float block, out float next) {
    next = qm_max(block, before);
    return vec2(qm_exp(qm_sub(before, next)), qm_exp(qm_sub(block, next)));
}
void merge(inout Merged m, vec2 f, float total, vec4 value) {
    m.total = qm_merge(m.total, f.x, total, f.y);
    [[unroll]] for (uint i = 0u; i < 4u; i++) m.value[i] = qm_merge(m.value[i], f.x, value[i], f.y);
}
void finish(uint h, uint lane, Merged m) {
    float inverse = qm_recip(m.total);
    [[unroll]] for (uint i = 0u; i < 4u; i++) m.value[i] = qm_mul(m.value[i], inverse);
    attention[(first_head + h) * kLanes + lane] = m.value;
}

void put_sums(uint h, float maximum, float total) {
    block_maxima[h] = maximum;
    block_totals[h] = total;
    if (alone) return;
    maxima[at_block(h, gl_WorkGroupID.x)] = maximum;
    totals[at_block(h, gl_WorkGroupID.x)] = total;
}
void put_values(uint h, uint lane, vec4 x) {
    if (!alone) {
        values[at_block(h, gl_WorkGroupID.x) * kLanes + lane] = x;
        return;
    }
    Merged m = Merged(0.0f, vec4(0.0f));
    float next;
    merge(m, factors_for(QM_SCORE_FLOOR, block_maxima[h], next), block_totals[h], x);
    finish(h, lane, m);
}

void append(uint kv, Place place) {
    uint t = gl_LocalInvocationIndex, to = kv * place.context + place.position;
    if (t < 2u * kQuads) QuadsOut(cache).at[qm_key_quad(to, t, kDim)] = own_key[t];
    for (uint i = t; i < kLanes; i += kThreads)
        PairsOut(after(cache, rows * 2u * kDim)).at[to * kLanes + i] = uvec2(own_value[i]);
    if (t < 2u) FloatsOut(after(cache, rows * 4u * kDim)).at[t * rows + to] = own_scales[t];
}

// A chunk of blocks at a time: threads make a factor each, then every thread follows its four dimensions of a head.
void merge_blocks(uint blocks) {
    const uint t = gl_LocalInvocationIndex, kItems = (kHeads * kLanes + kThreads - 1u) / kThreads;
    Merged m[kItems];
    [[unroll]] for (uint i = 0u; i < kItems; i++) m[i] = Merged(0.0f, vec4(0.0f));
    if (t < kHeads) running_maxima[t] = QM_SCORE_FLOOR;
    for (uint first = 0u; first < blocks; first += kChunk) {
        uint count = min(kChunk, blocks - first);
        for (uint i = t; i < kHeads * kChunk; i += kThreads)
            chunk_maxima[i] = maxima[at_block(i / kChunk, first + min(i % kChunk, count - 1u))];
        barrier();
        for (uint i = t; i < kHeads * kChunk; i += kThreads) {
            uint h = i / kChunk;
            float before = running_maxima[h];
            for (uint b = 0u; b < i % kChunk; b++) before = qm_max(chunk_maxima[h * kChunk + b], before);
            float next;
            factors[i] = factors_for(before, chunk_maxima[i], next);
        }
        barrier();
        if (t < kHeads)
            for (uint b = 0u; b < count; b++)
                running_maxima[t] = qm_max(chunk_maxima[t * kChunk + b], running_maxima[t]);
        [[unroll]] for (uint i = 0u; i < kItems; i++) {
            uint item = t + kThreads * i, h = item / kLanes, lane = item % kLanes;
            if (h >= kHeads) continue;
            for (uint b = 0u; b < count; b++)
                merge(m[i], factors[h * kChunk + b], totals[at_block(h, first + b)],
                      values[at_block(h, first + b) * kLanes + lane]);
        }
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < kItems; i++) {
        uint item = t + kThreads * i;
        if (item / kLanes < kHeads) finish(item / kLanes, item % kLanes, m[i]);
    }
}

void main() {
    RopeAppendParams p = c.rope.p;
    Place place = places[0];
    uint b = gl_WorkGroupID.x, blocks = place.position / QM_KEY_BLOCK + 1u, group = p.heads / p.kv_heads;
    if (b >= blocks) return;
    first_head = kHeads * gl_WorkGroupID.y;
    uint kv = first_head / group;
    cache = caches[c.rope.layer];
    rows = p.kv_heads * place.context;
    row = kv * place.context + b * QM_KEY_BLOCK;
    alone = blocks == 1u;
    bool last = b + 1u == blocks;
    own = last ? place.position % QM_KEY_BLOCK : QM_KEY_BLOCK;
    make_heads(p, Floats(address(c.rope.q_norm)), Floats(address(c.rope.k_norm)),
               Floats(row_after(address(c.rope.rope), place.position, 4u * kDim)), last ? kOwn : kHeads);
    if (last && first_head % group == 0u) append(kv, place);
    attend(last ? own + 1u : QM_KEY_BLOCK, last);
    if (alone) return;

    memoryBarrierBuffer();
    barrier();
    if (gl_LocalInvocationIndex == 0u) {
        last_to_finish = atomicAdd(done[gl_WorkGroupID.y], 1u) + 1u == blocks;
        if (last_to_finish) done[gl_WorkGroupID.y] = 0u;
    }
    barrier();
    if (!last_to_finish) return;
    memoryBarrierBuffer();
    merge_blocks(blocks);
}

float element(uint head, uint i) {
    uint kv = first_head / (c.rope.p.heads / c.rope.p.kv_heads);
    if (head < kHeads) return q[(first_head + head) * kDim + i];
    if (head == kHeads) return k[kv * kDim + i];
    return v[kv * kDim + i];
}
