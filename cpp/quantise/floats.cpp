// F32, F16 and BF16: each value by itself, to the nearest, ties to even.
#include "quantise/blocks.h"

namespace qwen3moe::blocks {

void to_f32(const float* x, std::size_t n, std::byte* out) { std::memcpy(out, x, n * sizeof(float)); }

void to_f16(const float* x, std::size_t n, std::byte* out) {
    for (std::size_t i = 0; i < n; ++i) store(out + 2 * i, half_bits(x[i]));
}

void to_bf16(const float* x, std::size_t n, std::byte* out) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t bits = qm_bits(x[i]);
        store(out + 2 * i, static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
    }
}

}  // namespace qwen3moe::blocks
