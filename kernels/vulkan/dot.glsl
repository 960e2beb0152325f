// Rows of weights times rows of activations: what qkv, output, router, experts and logits are made of.
#include "vulkan/unpack.glsl"

layout(push_constant) uniform Constants { DotParams p; };
// The activations: as floats for weights that are floats, else as X16.
layout(binding = 0) readonly buffer InValues { float in_values[]; };
layout(binding = 1) readonly buffer InDigits { uvec4 in_digits[]; };
layout(binding = 2) readonly buffer InSums { int in_sums[]; };
layout(binding = 3) readonly buffer InScale { float in_scale[]; };
// Of experts: each slot's; or, in tiles, the slots in the order of their experts.
layout(binding = 4) readonly buffer Chosen { uint chosen[]; };
layout(binding = 5) readonly buffer Tiles { uvec4 tiles[]; };
layout(binding = 6) buffer Products { float products[]; };

bool in_ways(uint way) { return (p.ways & way) != 0u; }
uint blocks_of_row() { return (p.columns + 255u) / 256u; }

// The slots that one workgroup works on.
struct Slots {
    uint expert;
    uint first;
    uint count;  // 0: nothing
};

Slots slots_of(uint tile) {
    bool experts = in_ways(QM_DOT_EXPERTS);
    if (!in_ways(QM_DOT_TILED)) return Slots(experts ? chosen[tile] : 0u, tile, 1u);
    if (!experts) return Slots(0u, tile * QM_TILE, min(QM_TILE, p.slots - tile * QM_TILE));
    if (tile >= tiles[0].x) return Slots(0u, 0u, 0u);
    uvec4 t = tiles[tile + 1u];
    return Slots(t.x, t.y, t.z);
}

uint slot_at(Slots slots, uint i) {
    return (p.ways & (QM_DOT_TILED | QM_DOT_EXPERTS)) == (QM_DOT_TILED | QM_DOT_EXPERTS) ? chosen[slots.first + i]
                                                                                         : slots.first + i;
}
// The row of activations that a slot reads.
uint input_of(uint slot) { return p.first_row + slot / p.slots_per_row; }

// Which job, and which of its tiles of `rows` rows, is number `tile` of all.
struct JobTile {
    uint job;
    uint first;  // row
};

JobTile job_tile(uint tile, uint rows) {
    uint job = 0u;
    while (job + 1u < p.count) {
        uint own = (p.jobs[job].rows + rows - 1u) / rows;
        if (tile < own) break;
        tile -= own;
        job++;
    }
    return JobTile(job, tile * rows);
}

void put(uint job, uint slot, uint row, float value) {
    uint at = p.jobs[job].to + slot * p.jobs[job].rows + row;
    products[at] = in_ways(QM_DOT_ADD) ? qm_add(products[at], value) : value;
}
