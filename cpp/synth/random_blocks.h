// Weights made at random in the block formats themselves: no value is ever quantised, so this runs at memory speed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/types.h"

namespace qwen3moe {

// A counter-based generator: word i of a stream, in any order, the same everywhere.
constexpr std::uint64_t random_word(std::uint64_t key, std::uint64_t i) {
    std::uint64_t z = key + i * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// One tensor of weights with mean 0 and the standard deviation asked for.
class RandomBlocks {
  public:
    static constexpr std::uint64_t kStep = 4;  // blocks of any type that fill whole words

    RandomBlocks(gguf::Type type, double deviation, std::uint64_t key);

    // Blocks from `first`, a multiple of kStep. `out` holds whole blocks.
    void fill(std::uint64_t first, std::span<std::byte> out) const;

  private:
    struct Scale {
        std::uint16_t d, m;  // halves: the block's scale, and the scale of its minima (or its offset)
    };

    gguf::Type type_;
    std::uint64_t key_;
    float unit_;                      // of unquantised types: the value of an integer step
    std::array<Scale, 64> scales_{};  // of quantised types: what a block's scale may be
};

}  // namespace qwen3moe
