// Synthetic models: a valid GGUF file of any shape and types, with random weights that behave like trained ones.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/mix.h"
#include "synth/fill.h"
#include "synth/presets.h"

namespace qwen3moe {

// Writes the model. A tensor's bytes depend on the seed and on its own name, type and shape, never on threads; 0
// threads are as many as the machine has. Where `progress` throws, nothing is left behind. Throws ArgumentError or
// FileError.
void synth(const std::string& path, const std::string& name, const Shape& shape, const Mix& mix, std::uint64_t seed,
           unsigned threads, const Progress& progress);

}  // namespace qwen3moe
