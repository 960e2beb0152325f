// One function per family of types: float values, whole blocks of them, become the file's bytes. Each block is chosen
// for the least squared error, by plain float operations in a fixed order, so that every machine writes the same file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shared/arithmetic.h"

namespace qwen3moe::blocks {

void to_f32(const float* x, std::size_t n, std::byte* out);
void to_f16(const float* x, std::size_t n, std::byte* out);
void to_bf16(const float* x, std::size_t n, std::byte* out);
void to_q8_0(const float* x, std::size_t n, std::byte* out);
void to_q4_k(const float* x, std::size_t n, std::byte* out);
void to_q5_k(const float* x, std::size_t n, std::byte* out);
void to_q6_k(const float* x, std::size_t n, std::byte* out);

// ---- what they share

// Eight partial sums: vector units can hold them, and the order is the same for all.
template <int kCount, class Term>
float sum(Term term) {
    static_assert(kCount % 8 == 0);
    float lanes[8] = {};
    for (int i = 0; i < kCount; i += 8)
        for (int lane = 0; lane < 8; ++lane) lanes[lane] += term(i + lane);
    return qm_sum8(lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5], lanes[6], lanes[7]);
}

// To the nearest integer, as a float, within [least, most].
inline float rounded(float x, float least, float most) {
    const float held = std::min(std::max(x, least), most);
    return (held + QM_ROUND_MAGIC) - QM_ROUND_MAGIC;
}

// A scale as it will be read back: a half.
inline std::uint16_t half_bits(float x) { return static_cast<std::uint16_t>(qm_to_half(x)); }
inline float as_half(float x) { return qm_half(qm_to_half(x)); }

// largest / steps as a half, which must not fall so far short that `largest` is out of reach: among the smallest halves
// the next is far away.
inline float step_of(float largest, float steps) {
    const std::uint32_t nearest = qm_to_half(largest / steps);
    return qm_half(qm_half(nearest) * (steps + 0.5F) < largest ? nearest + 1 : nearest);
}

inline float inverse(float x) { return x == 0 ? 0 : 1 / x; }

template <class T>
void store(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

}  // namespace qwen3moe::blocks
