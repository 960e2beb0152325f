#include "gguf/refusal.h"

#include "errors.h"
#include "gguf/utf8.h"

namespace qwen3moe::gguf {
namespace {

constexpr std::size_t kShownBytes = 64;

void append_escaped(std::string& out, char c) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text.substr(0, kShownBytes)) {
        if (is_control(c) || !is_ascii(c) || c == '"' || c == '\\') {
            append_escaped(out, c);
        } else {
            out += c;
        }
    }
    out += '"';
    if (text.size() > kShownBytes) out += "... (" + std::to_string(text.size()) + " bytes)";
    return out;
}

std::string shown_path(std::string_view path) {
    const bool utf8 = is_utf8(path);
    std::string out;
    for (const char c : path) {
        if (is_control(c) || (!utf8 && !is_ascii(c))) {
            append_escaped(out, c);
        } else {
            out += c;
        }
    }
    return out;
}

void refuse(const std::string& path, const std::string& place, const std::string& found, const std::string& expected) {
    throw GGUFError(shown_path(path) + ": " + place + ": found " + found + "; expected " + expected);
}

}  // namespace qwen3moe::gguf
