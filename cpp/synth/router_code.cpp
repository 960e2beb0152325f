#include "synth/router_code.h"

#include <cstring>
#include <numeric>

#include "shared/arithmetic.h"
#include "synth/random_blocks.h"

namespace qwen3moe {
namespace {

using gguf::Type;

// One block's parts that a code needs: its sub-scales all set to half their range, and single values to rest or high.
class CodedBlock {
  public:
    CodedBlock(Type type, std::byte* block) : type_(type), block_(reinterpret_cast<std::uint8_t*>(block)) {}

    void even_scales() {
        switch (type_) {
            case Type::Q2_K:
                std::memset(block_, 0x88, 16);
                return positive(80);
            case Type::Q3_K:
                std::memset(block_ + 96, 0, 8);
                std::memset(block_ + 104, 0xff, 4);
                return positive(108);
            case Type::Q4_K:
            case Type::Q5_K:
                std::memset(block_ + 4, 0xa0, 8);
                std::memset(block_ + 12, 0, 4);
                return positive(0), positive(2);
            case Type::Q6_K:
                std::memset(block_ + 192, 0x40, 16);
                return positive(208);
            case Type::IQ4_XS:
                std::memset(block_ + 2, 0xff, 2);
                std::memset(block_ + 4, 0, 4);
                return positive(0);
            default:
                return positive(0);
        }
    }

    // The value nearest to zero, or the largest.
    void set(std::uint64_t i, bool high) {
        switch (type_) {
            case Type::Q8_0:
                block_[2 + i] = high ? 127 : 0;
                return;
            case Type::Q4_0:
                return nibble(2, i, high ? 15 : 8);
            case Type::Q4_1:
                return nibble(4, i, high ? 15 : 7);
            case Type::Q5_0:
                bit(2, i, true);
                return nibble(6, i, high ? 15 : 0);
            case Type::Q5_1:
                bit(4, i, high);
                return nibble(8, i, 15);
            case Type::IQ4_NL:
                return nibble(2, i, high ? 15 : 8);
            case Type::Q2_K:
                return crumb(16, i, high ? 3 : 1);
            case Type::Q3_K:
                bits(0, i % 32, i / 32, 1, 1);
                return crumb(32, i, high ? 3 : 0);
            case Type::Q4_K:
                return bits(16, i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4, high ? 15 : 7);
            case Type::Q5_K:
                bits(16, i % 32, i / 32, 1, high ? 1 : 0);
                return bits(48, i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4, 15);
            case Type::Q6_K:
                bits(0, i / 128 * 64 + i % 64, i % 128 / 64 * 4, 4, high ? 15 : 0);
                return bits(128, i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2, high ? 3 : 2);
            case Type::IQ4_XS:
                return nibble(8 + i / 32 * 16, i % 32, high ? 15 : 8);
            default:
                return;
        }
    }

  private:
    void positive(std::uint64_t half_at) { block_[half_at + 1] &= 0x7f; }
    void bits(std::uint64_t base, std::uint64_t byte, std::uint64_t shift, std::uint64_t width, unsigned value) {
        const unsigned mask = ((1u << width) - 1) << shift;
        std::uint8_t& at = block_[base + byte];
        at = static_cast<std::uint8_t>((at & ~mask) | value << shift);
    }
    // 32 values: the first half in low nibbles, the second in high ones.
    void nibble(std::uint64_t base, std::uint64_t i, unsigned value) { bits(base, i % 16, i / 16 * 4, 4, value); }
    void bit(std::uint64_t base, std::uint64_t i, bool value) { bits(base, i / 8, i % 8, 1, value ? 1 : 0); }
    // 256 values of two bits: 32 bytes hold four runs of 32.
    void crumb(std::uint64_t base, std::uint64_t i, unsigned value) {
        bits(base, i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2, value);
    }

    Type type_;
    std::uint8_t* block_;
};

void store_float(Type type, std::byte* at, float value) {
    const std::uint32_t bits = type == Type::F32   ? qm_bits(value)
                               : type == Type::F16 ? qm_to_half(value)
                                                   : qm_bits(value) >> 16;
    std::memcpy(at, &bits, gguf::info(type).bytes);
}

// A step through n things that comes by all of them.
std::uint64_t coprime_step(std::uint64_t word, std::uint64_t n) {
    std::uint64_t step = word % n;
    while (std::gcd(step, n) != 1) step = (step + 1) % n;
    return step;
}

}  // namespace

void RouterCode::mark_embedding(Type type, double deviation, std::uint64_t row, std::uint64_t key,
                                std::span<std::byte> data) const {
    const std::uint64_t start = random_word(key, 2 * row);
    const std::uint64_t step = coprime_step(random_word(key, 2 * row + 1), experts_);
    const gguf::TypeInfo& format = gguf::info(type);
    if (format.block > 1)
        for (std::uint64_t c = 0; c < experts_; c += format.block)
            CodedBlock(type, &data[c / format.block * format.bytes]).even_scales();
    for (std::uint64_t i = 0; i < experts_; ++i) {
        const std::uint64_t channel = (start + i * step) % experts_;
        std::byte* const at = &data[channel / format.block * format.bytes];
        if (format.block == 1)
            store_float(type, at, i < used_ ? static_cast<float>(1.5 * deviation) : 0.0F);
        else
            CodedBlock(type, at).set(channel % format.block, i < used_);
    }
}

void RouterCode::mark_router(Type type, double gain, std::uint64_t layer, std::uint64_t expert,
                             std::span<std::byte> data) const {
    if (gguf::info(type).block != 1) return;  // a quantised router has no room for so large a weight
    const std::uint64_t channel = (expert * coprime_step(layer + 1, experts_) + 7 * layer) % experts_;
    store_float(type, &data[channel * gguf::info(type).bytes], static_cast<float>(gain));
}

}  // namespace qwen3moe
