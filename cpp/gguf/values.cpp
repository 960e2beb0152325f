#include "gguf/values.h"

#include <iterator>
#include <string_view>

namespace qwen3moe::gguf {
namespace {

struct ValueInfo {
    std::string_view name;
    std::uint32_t bytes;
};

constexpr ValueInfo kValues[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

}  // namespace

std::uint32_t value_bytes(std::uint32_t number) { return number < std::size(kValues) ? kValues[number].bytes : 0; }

std::string value_name(std::uint32_t number) {
    if (number < std::size(kValues)) return std::string(kValues[number].name);
    return "an unknown value type (" + std::to_string(number) + ")";
}

}  // namespace qwen3moe::gguf
