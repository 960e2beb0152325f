// The choice of a token from each row of logits: the largest, the first among equals, and its log-probability.
#include "cuda/largest.cuh"
#include "cuda/launch.cuh"
#include "cuda/steps.h"
#include "shared/choose.h"

namespace qwen3moe::cuda {
namespace {

constexpr uint kThreads = 256;
constexpr uint kLanes = 16;                   // partial sums that a block of threads makes
constexpr uint kStrides = kThreads / kLanes;  // of 256 logits, that the threads take side by side

// A block of threads for each part of each row.
__global__ void __launch_bounds__(kThreads) largest_kernel(ChooseParams p, const float* logits, Key* largest) {
    after_step_before();
    constexpr uint kAhead = 4, kStep = kChoiceParts * kThreads;
    __shared__ Key shared[8];
    const float* row = logits + std::size_t(blockIdx.y) * p.vocab;
    Key own = 0;
    for (uint first = blockIdx.x * kThreads + threadIdx.x; first < p.vocab; first += kAhead * kStep) {
        float x[kAhead];
#pragma unroll
        for (uint j = 0; j < kAhead; j++) x[j] = row[min(first + j * kStep, p.vocab - 1)];
#pragma unroll
        for (uint j = 0; j < kAhead; j++)
            own = max(own, key_of(qm_logit_key(x[j]), min(first + j * kStep, p.vocab - 1)));
    }
    own = block_max(own, shared);
    if (threadIdx.x == 0) largest[blockIdx.y * kChoiceParts + blockIdx.x] = own;
}

// Every thread gets it.
__device__ __forceinline__ uint largest_of_row(const Key* largest, uint row, Key* shared) {
    Key own = 0;
    for (uint part = threadIdx.x; part < kChoiceParts; part += kThreads)
        own = max(own, largest[row * kChoiceParts + part]);
    return index_of(block_max(own, shared));
}

// A block of threads for kLanes neighbours of the 256 partial sums of a row: all make exponentials, then a thread for
// each sum adds them in rising order.
__global__ void __launch_bounds__(kThreads)
    sums_kernel(ChooseParams p, const float* logits, const Key* largest, float* sums) {
    after_step_before();
    constexpr uint kAhead = 16, kTile = 256 * kStrides * kAhead;
    __shared__ Key shared[8];
    __shared__ float exponentials[kAhead * kThreads];  // [kAhead * kStrides][kLanes]
    const float* row = logits + std::size_t(blockIdx.y) * p.vocab;
    const uint t = threadIdx.x, own = kLanes * blockIdx.x + t % kLanes + 256 * (t / kLanes);
    const float maximum = row[largest_of_row(largest, blockIdx.y, shared)];
    float sum = 0.0f;
    for (uint first = 0; first < p.vocab; first += kTile) {
        float x[kAhead];
#pragma unroll
        for (uint j = 0; j < kAhead; j++) x[j] = row[min(first + 256 * kStrides * j + own, p.vocab - 1)];
        __syncthreads();  // the exponentials before are summed
#pragma unroll
        for (uint j = 0; j < kAhead; j++)
            exponentials[kThreads * j + t] =
                first + 256 * kStrides * j + own < p.vocab ? qm_probability(x[j], maximum) : 0.0f;
        __syncthreads();
        if (t >= kLanes) continue;
#pragma unroll 16
        for (uint i = 0; i < kAhead * kStrides; i++) sum = qm_add(sum, exponentials[kLanes * i + t]);
    }
    if (t < kLanes) sums[256 * blockIdx.y + own] = sum;
}

// A block of threads for each row.
__global__ void __launch_bounds__(kThreads)
    choose_kernel(ChooseParams p, const float* logits, const Key* largest, const float* sums, Choice* out) {
    after_step_before();
    __shared__ Key shared[8];
    __shared__ float partial[256];
    const uint row = blockIdx.x, token = largest_of_row(largest, row, shared);
    const float maximum = logits[std::size_t(row) * p.vocab + token];
    const float sum = tree256(sums[256 * row + threadIdx.x], partial);
    if (threadIdx.x == 0) out[row] = {token, qm_log_probability(maximum, maximum, sum)};
}

}  // namespace

cudaError_t choose(const ChooseParams& p, const float* logits, const Choosing& c, Choice* out, cudaStream_t stream) {
    cudaError_t error = launch(largest_kernel, dim3(kChoiceParts, p.rows), kThreads, stream, p, logits, c.largest);
    if (error == cudaSuccess)
        error = launch(sums_kernel, dim3(256 / kLanes, p.rows), kThreads, stream, p, logits, c.largest, c.sums);
    if (error != cudaSuccess) return error;
    return launch(choose_kernel, p.rows, kThreads, stream, p, logits, c.largest, c.sums, out);
}

}  // namespace qwen3moe::cuda
