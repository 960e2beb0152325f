// Float values become blocks of a GGUF type.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/types.h"

namespace qwen3moe {

// Whether there is a quantiser for the type.
bool can_quantise(gguf::Type type);

// `values` are whole blocks, `out` is as long as they are. The same bytes for any number of threads. Throws
// NumericalError where a value is not finite, or too large for the type.
void quantise(gguf::Type type, std::span<const float> values, std::span<std::byte> out, unsigned threads);

}  // namespace qwen3moe
