#include "gguf/cursor.h"

#include "gguf/refusal.h"
#include "gguf/utf8.h"

namespace qwen3moe::gguf {

std::span<const std::byte> Cursor::take(std::uint64_t count, const char* what) {
    field_ = what;
    field_offset_ = offset_;
    if (count > left())
        refuse("the end of the file after " + std::to_string(left()) + " bytes",
               std::to_string(count) + " bytes: the file is cut short or damaged, copy it again");
    offset_ += count;
    return bytes_.subspan(static_cast<std::size_t>(field_offset_), static_cast<std::size_t>(count));
}

std::string_view Cursor::text(const char* what) { return utf8(scalar<std::uint64_t>(what), what); }

std::string_view Cursor::name(const char* what, std::uint64_t longest) {
    const auto length = scalar<std::uint64_t>(what);
    if (length == 0 || length > longest)
        refuse("a length of " + std::to_string(length) + " bytes", "1 to " + std::to_string(longest));
    const std::string_view name = utf8(length, what);
    if (name.find('\0') != name.npos) refuse(quoted(name), "no NUL inside");
    return name;
}

std::string_view Cursor::utf8(std::uint64_t length, const char* what) {
    const std::span<const std::byte> bytes = take(length, what);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!is_utf8(text)) refuse(quoted(text), "valid UTF-8");
    return text;
}

void Cursor::refuse(const std::string& found, const std::string& expected) const {
    gguf::refuse(path_, place_ + ", " + field_ + " at byte " + std::to_string(field_offset_), found, expected);
}

}  // namespace qwen3moe::gguf
