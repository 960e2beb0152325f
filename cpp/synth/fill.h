// Fills the tensors of a file with random weights, on several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "gguf/writer.h"
#include "synth/router_code.h"
#include "synth/tensors.h"

namespace qwen3moe {

using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Tensor i of the output is tensors[i]. `progress` is called from the calling thread alone, many times a second; what
// it throws ends the work. Throws FileError.
void synth_fill(const gguf::Output& output, const std::vector<SynthTensor>& tensors, const RouterCode& code,
                std::uint64_t seed, unsigned threads, const Progress& progress);

}  // namespace qwen3moe
