// Shapes of Qwen3-MoE models: those that exist, by name, and how each of their numbers may be replaced.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace qwen3moe {

struct Shape {
    std::uint64_t layers;
    std::uint64_t hidden;
    std::uint64_t heads;
    std::uint64_t kv_heads;
    std::uint64_t head_dim;
    std::uint64_t experts;
    std::uint64_t experts_used;
    std::uint64_t ff;  // of one expert
    std::uint64_t vocab;
    std::uint64_t context;
    double rope;  // base of the rotary frequencies
    double eps;   // of RMSNorm
    bool tied;    // the output head is the embedding
};

struct Preset {
    std::string_view name;
    Shape shape;
};

std::span<const Preset> presets();

struct Field {
    std::string_view name;
    std::variant<std::uint64_t Shape::*, double Shape::*, bool Shape::*> member;
    double least, most;
};

std::span<const Field> shape_fields();  // every member of Shape

// A preset with some of its numbers replaced (1 and 0 for tied), checked as a whole. Throws ArgumentError, which lists
// what is known where a name is not.
Shape shape_of(std::string_view preset, const std::map<std::string, double>& overrides);

}  // namespace qwen3moe
