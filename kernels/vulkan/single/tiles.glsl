// A workgroup's tiles of rows, one after the other. Weights are on their way while the activations are made, and while
// those before them are added up. Whoever includes it says what a tile is and what becomes of its terms.
#include "vulkan/rows.glsl"

void take_tile(uint tile);               // whose weights are loaded from here on
void begin_tile();                       // the same one, whose terms come next
void prepare();                          // the activations, once; ends with a barrier
void add_terms(uint first, uint count);  // of items first ..., in their order
void put_tile();

void run_tiles(uint tiles) {
    uint tile = gl_WorkGroupID.x;
    take_tile(tile);
    Items items = load_items(0u, kBlocks);
    prepare();
    while (tile < tiles) {
        begin_tile();
        tile += gl_NumWorkGroups.x;
        [[dont_unroll]] for (uint first = 0u; first < kBlocks; first += kSpan) {
            make_cells(items, first, kBlocks);
            vec2 factors = items.factors;
            if (first + kSpan < kBlocks) {
                items = load_items(first + kSpan, kBlocks);
            } else if (tile < tiles) {
                take_tile(tile);
                items = load_items(0u, kBlocks);
            }
            barrier();
            make_terms(factors, first, kBlocks);
            barrier();
            add_terms(first, min(kSpan, kBlocks - first));
        }
        put_tile();
    }
}
