#pragma once

#include <cstdint>
#include <vector>

#include "gguf/cursor.h"
#include "gguf/file.h"

namespace qwen3moe::gguf {

// Reads `count` entries; refuses a key that comes twice.
std::vector<Entry> read_metadata(Cursor& cursor, std::uint64_t count, Names& keys);

// Reads one value of this type; strings and arrays become views. Also reads the elements of an Array, from its data.
Value read_value(Cursor& cursor, std::uint32_t number);

}  // namespace qwen3moe::gguf
