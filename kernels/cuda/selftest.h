// Hashes of the arithmetic on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include "shared/selftest.h"

namespace qwen3moe::cuda {

// Adds to *sum, which lies on the device.
cudaError_t selftest(const HashParams&, QmHash* sum, cudaStream_t);

}  // namespace qwen3moe::cuda
