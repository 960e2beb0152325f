// How weights lie on a GPU: the fields of a file's block go to planes of their own, so that every load of a
// kernel is aligned and neighbouring threads read neighbouring bytes. No byte is added but the planes' alignment.
#pragma once

#include <cstdint>

#include "gguf/types.h"

namespace qwen3moe::gpu {

struct Field {
    std::uint32_t offset;  // in the file's block
    std::uint32_t bytes;   // even; 0: there is no such plane
};

struct Layout {
    gguf::Type type;
    Field fields[4];
};

inline constexpr Layout kLayouts[] = {
    {gguf::Type::F32, {{0, 4}}},
    {gguf::Type::F16, {{0, 2}}},
    {gguf::Type::BF16, {{0, 2}}},
    {gguf::Type::Q8_0, {{0, 2}, {2, 32}}},                           // d; q
    {gguf::Type::Q4_0, {{0, 2}, {2, 16}}},                           // d; q
    {gguf::Type::Q4_1, {{0, 4}, {4, 16}}},                           // d, m; q
    {gguf::Type::Q5_0, {{0, 2}, {6, 16}, {2, 4}}},                   // d; q; fifth bits
    {gguf::Type::Q5_1, {{0, 4}, {8, 16}, {4, 4}}},                   // d, m; q; fifth bits
    {gguf::Type::IQ4_NL, {{0, 2}, {2, 16}}},                         // d; q
    {gguf::Type::Q2_K, {{80, 4}, {16, 64}, {0, 16}}},                // d, dmin; q; scales and minima
    {gguf::Type::Q3_K, {{108, 2}, {32, 64}, {96, 12}, {0, 32}}},     // d; q; scales; third bits
    {gguf::Type::Q4_K, {{0, 16}, {16, 128}}},                        // d, dmin, scales, minima; q
    {gguf::Type::Q5_K, {{0, 16}, {48, 128}, {16, 32}}},              // d, dmin, scales, minima; q; fifth bits
    {gguf::Type::Q6_K, {{208, 2}, {0, 128}, {192, 16}, {128, 64}}},  // d; low bits; scales; high bits
    {gguf::Type::IQ4_XS, {{0, 8}, {8, 128}}},                        // d, scales; q
};

constexpr const Layout& layout(gguf::Type type) {
    for (const Layout& l : kLayouts)
        if (l.type == type) return l;
    return kLayouts[0];
}

// Every byte of a block has its place.
constexpr bool complete() {
    for (const gguf::TypeInfo& info : gguf::kTypes) {
        std::uint32_t bytes = 0;
        for (const Field& f : layout(info.type).fields) bytes += f.bytes;
        if (layout(info.type).type != info.type || bytes != info.bytes) return false;
    }
    return true;
}
static_assert(complete());

}  // namespace qwen3moe::gpu
