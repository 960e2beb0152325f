// A workgroup's tiles of rows, one after the other. The first weights are on their way before the activations are made.
// Whoever includes it says what a tile is and what becomes of its terms.
#include "vulkan/rows.glsl"

void take_tile(uint tile);
void prepare();                          // the activations, once; ends with a barrier
void add_terms(uint first, uint count);  // of items first ..., in their order
void put_tile();

void run_tiles(uint tiles) {
    uint tile = gl_WorkGroupID.x;
    take_tile(tile);
    Items items = load_items(0u, kBlocks);
    prepare();
    while (true) {
        make_terms(items, 0u, kBlocks);
        add_terms(0u, min(kSpan, kBlocks));
        for (uint first = kSpan; first < kBlocks; first += kSpan) {
            make_terms(load_items(first, kBlocks), first, kBlocks);
            add_terms(first, min(kSpan, kBlocks - first));
        }
        put_tile();
        tile += gl_NumWorkGroups.x;
        if (tile >= tiles) break;
        take_tile(tile);
        items = load_items(0u, kBlocks);
    }
}
