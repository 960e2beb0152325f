// Reads a file's bytes in order and never past their end. Every refusal names the place that was being read.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qwen3moe::gguf {

// A little-endian value at any address, on a machine of either order.
template <class T>
T load(const std::byte* from) {
    using Bits =
        std::conditional_t<sizeof(T) == 8, std::uint64_t,
                           std::conditional_t<sizeof(T) == 4, std::uint32_t,
                                              std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint8_t>>>;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) bits |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
    return std::bit_cast<T>(static_cast<Bits>(bits));
}

class Cursor {
  public:
    Cursor(std::span<const std::byte> bytes, const std::string& path, std::string place)
        : bytes_(bytes), path_(path), place_(std::move(place)) {}

    std::uint64_t offset() const { return offset_; }
    std::uint64_t left() const { return bytes_.size() - offset_; }
    const std::string& path() const { return path_; }
    std::span<const std::byte> since(std::uint64_t start) const {
        return bytes_.first(static_cast<std::size_t>(offset_)).subspan(static_cast<std::size_t>(start));
    }

    // What is read from here on: header, a key, a tensor.
    void enter(std::string place) { place_ = std::move(place); }

    // `what` names the field inside the place.
    template <class T>
    T scalar(const char* what) {
        return load<T>(take(sizeof(T), what).data());
    }
    std::span<const std::byte> take(std::uint64_t count, const char* what);
    std::string_view text(const char* what);                         // a u64 length and as many bytes of UTF-8
    std::string_view name(const char* what, std::uint64_t longest);  // text, not empty, without NUL

    // About the field read last.
    [[noreturn]] void refuse(const std::string& found, const std::string& expected) const;

  private:
    std::string_view utf8(std::uint64_t length, const char* what);

    std::span<const std::byte> bytes_;
    const std::string& path_;
    std::string place_;
    const char* field_ = "";
    std::uint64_t field_offset_ = 0;
    std::uint64_t offset_ = 0;
};

}  // namespace qwen3moe::gguf
