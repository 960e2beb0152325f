#include "synth/presets.h"

#include <cmath>
#include <sstream>
#include <type_traits>

#include "gguf/named.h"

namespace qwen3moe {
namespace {

// clang-format off
constexpr Preset kPresets[] = {
    // layers, hidden, heads, kv_heads, head_dim, experts, experts_used, ff, vocab, context, rope, eps, tied
    {"small",                 { 4,  512,  8, 2,  64,  16, 4,  256,   1024,   4096, 1e6, 1e-6, false}},
    {"qwen3-30b-a3b",         {48, 2048, 32, 4, 128, 128, 8,  768, 151936,  40960, 1e6, 1e-6, false}},
    {"qwen3-coder-30b-a3b",   {48, 2048, 32, 4, 128, 128, 8,  768, 151936, 262144, 1e7, 1e-6, false}},
    {"qwen3-235b-a22b",       {94, 4096, 64, 4, 128, 128, 8, 1536, 151936,  40960, 1e6, 1e-6, false}},
    {"qwen3-coder-480b-a35b", {62, 6144, 96, 8, 128, 160, 8, 2560, 151936, 262144, 1e7, 1e-6, false}},
};
// clang-format on

// The limits are generous, and their products stay far below 2^63.
constexpr Field kFields[] = {
    {"layers", &Shape::layers, 1, 1024},
    {"hidden", &Shape::hidden, 1, 65536},
    {"heads", &Shape::heads, 1, 1024},
    {"kv_heads", &Shape::kv_heads, 1, 1024},
    {"head_dim", &Shape::head_dim, 2, 1024},
    {"experts", &Shape::experts, 1, 4096},
    {"experts_used", &Shape::experts_used, 1, 4096},
    {"ff", &Shape::ff, 1, 65536},
    {"vocab", &Shape::vocab, 264, 1 << 20},  // the least: all bytes, ChatML and some unused
    {"context", &Shape::context, 1, 1 << 30},
    {"rope", &Shape::rope, 1, 1e12},
    {"eps", &Shape::eps, 1e-12, 0.1},
    {"tied", &Shape::tied, 0, 1},
};

[[noreturn]] void refuse(std::string_view name, double value, const std::string& expected) {
    std::ostringstream message;
    message << name << " is " << value << ", expected " << expected;
    throw ArgumentError(message.str());
}

void set(Shape& shape, const Field& field, double value) {
    const bool whole = !std::holds_alternative<double Shape::*>(field.member);
    if (!(value >= field.least && value <= field.most) || (whole && value != std::floor(value))) {
        std::ostringstream expected;
        expected << (whole ? "a whole number from " : "a number from ") << field.least << " to " << field.most;
        refuse(field.name, value, expected.str());
    }
    std::visit(
        [&](auto member) {
            using T = std::remove_reference_t<decltype(shape.*member)>;
            shape.*member = static_cast<T>(value);
        },
        field.member);
}

}  // namespace

std::span<const Preset> presets() { return kPresets; }
std::span<const Field> shape_fields() { return kFields; }

Shape shape_of(std::string_view preset, const std::map<std::string, double>& overrides) {
    Shape shape = named(kPresets, preset, "preset").shape;
    for (const auto& [name, value] : overrides) set(shape, named(kFields, name, "override"), value);
    if (shape.heads % shape.kv_heads != 0)
        refuse("kv_heads", static_cast<double>(shape.kv_heads), "a divisor of heads, " + std::to_string(shape.heads));
    if (shape.head_dim % 2 != 0)
        refuse("head_dim", static_cast<double>(shape.head_dim), "an even number: rotation takes values in pairs");
    if (shape.experts_used > shape.experts)
        refuse("experts_used", static_cast<double>(shape.experts_used),
               "at most experts, " + std::to_string(shape.experts));
    return shape;
}

}  // namespace qwen3moe
