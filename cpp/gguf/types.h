// Tensor types of GGUF: their numbers in the file, their names, and the size of their blocks.
#pragma once

#include <cstdint>
#include <string_view>

namespace qwen3moe::gguf {

enum class Type : std::uint32_t {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    IQ4_NL = 20,
    IQ4_XS = 23,
    BF16 = 30,
};

struct TypeInfo {
    Type type;
    std::string_view name;
    std::uint32_t block;  // values in a block
    std::uint32_t bytes;  // bytes of a block
};

inline constexpr TypeInfo kTypes[] = {
    {Type::F32, "F32", 1, 4},       {Type::F16, "F16", 1, 2},       {Type::BF16, "BF16", 1, 2},
    {Type::Q8_0, "Q8_0", 32, 34},   {Type::Q4_0, "Q4_0", 32, 18},   {Type::Q4_1, "Q4_1", 32, 20},
    {Type::Q5_0, "Q5_0", 32, 22},   {Type::Q5_1, "Q5_1", 32, 24},   {Type::IQ4_NL, "IQ4_NL", 32, 18},
    {Type::Q2_K, "Q2_K", 256, 84},  {Type::Q3_K, "Q3_K", 256, 110}, {Type::Q4_K, "Q4_K", 256, 144},
    {Type::Q5_K, "Q5_K", 256, 176}, {Type::Q6_K, "Q6_K", 256, 210}, {Type::IQ4_XS, "IQ4_XS", 256, 136},
};

// Null for a type that is not read.
constexpr const TypeInfo* find_type(std::uint32_t number) {
    for (const TypeInfo& info : kTypes)
        if (static_cast<std::uint32_t>(info.type) == number) return &info;
    return nullptr;
}
constexpr const TypeInfo& info(Type type) { return *find_type(static_cast<std::uint32_t>(type)); }

// The name of any type number GGUF has ever had, for refusals; "unknown" otherwise. Defined in types.cpp.
std::string_view type_name(std::uint32_t number);

}  // namespace qwen3moe::gguf
