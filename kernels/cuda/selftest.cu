// Hashes of the arithmetic on a CUDA device: the self-test, or a function over a run of inputs.
#include "cuda/selftest.h"

namespace qwen3moe::cuda {
namespace {

__global__ void __launch_bounds__(256) selftest_kernel(HashParams params, QmHash* sum) {
    QmHash hash{0, 0};
    const uint threads = gridDim.x * blockDim.x;
    for (uint i = blockIdx.x * blockDim.x + threadIdx.x; i < params.count; i += threads)
        hash = qm_hash_item(hash, params.function, params.first + i);
    atomicAdd(&sum->low, hash.low);
    atomicAdd(&sum->high, hash.high);
}

}  // namespace

cudaError_t selftest(const HashParams& params, QmHash* sum, cudaStream_t stream) {
    selftest_kernel<<<512, 256, 0, stream>>>(params, sum);
    return cudaGetLastError();
}

}  // namespace qwen3moe::cuda
