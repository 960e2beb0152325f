// The one voice of every refusal, and how untrusted text may appear in it.
#pragma once

#include <string>
#include <string_view>

namespace qwen3moe::gguf {

// In quotes: printable ASCII as it is, other bytes as \xNN, cut after 64 bytes.
std::string quoted(std::string_view text);

// A path as it is where that is harmless; control characters and what is not UTF-8 escaped.
std::string shown_path(std::string_view path);

// Throws a GGUFError: "<path>: <place>: found <found>; expected <expected>".
[[noreturn]] void refuse(const std::string& path, const std::string& place, const std::string& found,
                         const std::string& expected);

}  // namespace qwen3moe::gguf
