#pragma once

#include <string_view>

namespace qwen3moe::gguf {

// Strict: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace qwen3moe::gguf
