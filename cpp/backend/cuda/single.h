// The decoding of one token: groups of a plan's steps that kernels/cuda/single runs as a few kernels.
#pragma once

#include <span>

#include "backend/cuda/buffers.h"
#include "backend/cuda/weights.h"
#include "cuda/single/steps.h"
#include "model/plan.h"

namespace qwen3moe::cuda {

struct SingleToken {
    const Config& config;
    const DeviceWeights& weights;
    const Buffers& buffers;
    const BatchData& batch;
    const float* rope;
    const KeyBlocks& key_blocks;
    uint* flags;    // of the host
    float* logits;  // of the host or the device
    cudaStream_t stream;
};

// Launches the group that begins with steps[0], if there is one for these weights and shapes; how many steps it does.
// After the group of the logits they and the flags are where they are to go.
std::size_t launch_group(const SingleToken& token, std::span<const Step> steps, cudaError_t& error);

}  // namespace qwen3moe::cuda
