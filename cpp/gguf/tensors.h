#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gguf/cursor.h"
#include "gguf/file.h"

namespace qwen3moe::gguf {

// Reads `count` tensor descriptions and finds their data in `bytes`, the whole file, after the cursor's last place.
std::vector<Tensor> read_tensors(Cursor& cursor, std::uint64_t count, std::uint64_t alignment,
                                 std::span<const std::byte> bytes, Names& names);

}  // namespace qwen3moe::gguf
