// Probabilities of all experts by a block of 256 threads.
#pragma once

#include "cuda/tree.cuh"

namespace qwen3moe::cuda {

// `shared`: 256 floats, free again after the call.
__device__ __forceinline__ float block_max(float x, float* shared) {
    shared[threadIdx.x] = x;
    __syncthreads();
    for (uint j = 0; j < 8; j++) x = qm_max(shared[(threadIdx.x & 31) + 32 * j], x);
#pragma unroll
    for (int half = 16; half > 0; half /= 2) x = qm_max(__shfl_xor_sync(kAllLanes, x, half), x);
    __syncthreads();
    return x;
}

// All threads see `out` after the call.
__device__ __forceinline__ void softmax(const float* logits, uint n, float* out, float* shared) {
    float most = logits[0];
    for (uint i = threadIdx.x; i < n; i += 256) most = qm_max(logits[i], most);
    most = block_max(most, shared);
    float partial = 0.0f;
    for (uint i = threadIdx.x; i < n; i += 256) {
        out[i] = qm_probability(logits[i], most);
        partial = qm_add(partial, out[i]);
    }
    const float inverse = qm_recip(tree256(partial, shared));
    for (uint i = threadIdx.x; i < n; i += 256) out[i] = qm_mul(out[i], inverse);
    __syncthreads();
}

}  // namespace qwen3moe::cuda
