// The decoding of one token: groups of a plan's steps that kernels/vulkan/single runs as a few dispatches.
#pragma once

#include <span>

#include "backend/vulkan/steps.h"
#include "model/plan.h"

namespace qwen3moe::vulkan {

struct SingleToken {
    const Config& config;
    const DeviceWeights& weights;
    const Buffers& buffers;
    const KeyBlocks& key_blocks;
    Address rope;
    std::uint32_t shared;  // bytes of memory that a workgroup may share
};

// Records the group that begins with steps[0], if there is one for these weights and shapes; how many steps it does.
// After the group of the logits they are in the buffers, and the flags are set.
std::size_t record_group(Recording&, const SingleToken&, std::span<const Step> steps);

}  // namespace qwen3moe::vulkan
