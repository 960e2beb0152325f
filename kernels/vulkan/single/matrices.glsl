// One matrix, or up to three of one type, times the activations. Whoever includes it says where a product goes.
#include "vulkan/single/tiles.glsl"

void put(uint at, float value);
void begin(uint at);  // what it is added to can be loaded

MatricesParams of;  // what there is to do
DotJob job;         // the tile at hand
uint first_row;
float sum;  // of the row of the tile that this thread makes

WeightAddress matrix_of(uint row) { return job.w; }
uint columns_of_row() { return of.columns; }
uint row_of(uint row, uint item) { return min(first_row + row, job.rows - 1u); }
uint block_of(uint item) { return item; }

void take_tile(uint tile) {
    uint j = 0u;
    for (; j + 1u < of.count; j++) {
        uint own = (of.jobs[j].rows + kTileRows - 1u) / kTileRows;
        if (tile < own) break;
        tile -= own;
    }
    job = of.jobs[j];
    first_row = tile * kTileRows;
    sum = 0.0f;
    begin(job.to + min(first_row + gl_LocalInvocationIndex, job.rows - 1u));
}

void add_terms(uint first, uint count) {
    if (gl_LocalInvocationIndex < kTileRows)
        for (uint i = 0u; i < count; i++) sum = qm_add(sum, term_at(gl_LocalInvocationIndex, i));
}

void put_tile() {
    uint row = first_row + gl_LocalInvocationIndex;
    if (gl_LocalInvocationIndex < kTileRows && row < job.rows) put(job.to + row, sum);
}
