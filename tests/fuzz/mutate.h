// Changes to GGUF files that keep most of them sound: a number of the metadata, a field of a tensor's description, a
// few bytes of its data. What bytes alone would seldom reach: a file that is accepted, or nearly.
#pragma once

#include <cstddef>
#include <cstdint>

// Libfuzzer's own mutation of bytes, for files that are no GGUF and now and then for others.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace qwen3moe::fuzz {

// Changes the file in place and returns its new size.
std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed);

}  // namespace qwen3moe::fuzz
