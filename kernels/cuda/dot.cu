#include "cuda/dot.cuh"

namespace qwen3moe::cuda {

// Jobs of one type go together.
cudaError_t dot_rows(Product p, cudaStream_t stream) {
    while (p.count > 0) {
        Product now = p, later = p;
        now.count = later.count = 0;
        for (uint j = 0; j < p.count; j++) {
            Product& to = p.jobs[j].w.type == p.jobs[0].w.type ? now : later;
            to.jobs[to.count++] = p.jobs[j];
        }
        const cudaError_t error = with_format(
            now.jobs[0].w.type, [&](auto) { return dot_floats(now, stream); },
            [&](auto) { return now.tiled ? dot_tiles(now, stream) : dot_singles(now, stream); });
        if (error != cudaSuccess) return error;
        p = later;
    }
    return cudaSuccess;
}

}  // namespace qwen3moe::cuda
