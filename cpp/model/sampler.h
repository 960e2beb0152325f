// The choice of the next token, and log-probabilities: contracts/sampling-v1.yaml. On the host, with the functions of
// the exact arithmetic alone, so that the same logits give the same tokens on every machine.
#pragma once

#include <cstdint>
#include <span>

namespace qwen3moe {

inline constexpr int kUnitBits = 39;  // the most likely token's weight is 2^39 units: 2^24 of them fit 64 bits
inline constexpr int kShareBits = 24;

struct Sampling {
    float temperature = 0;  // 0: the largest logit
    float penalty = 1;      // of tokens that were there before
    std::uint32_t top_k = 0;
    std::uint32_t top_p = 1u << kShareBits;  // of the sum, in 2^-24
    std::uint64_t min_p = 0;                 // in units
    std::uint64_t seed = 0;
};

// The largest, and the first among equals.
std::uint32_t argmax(std::span<const float> logits);

// The token at `position` (the number of tokens before it). Throws ArgumentError for logits that are NaN or +infinity,
// or all -infinity, and for a token of `before` outside the vocabulary.
std::uint32_t choose(std::span<const float> logits, std::span<const std::int32_t> before, const Sampling& sampling,
                     std::uint64_t position);

// A token's log-probability, and whether it is the argmax.
struct Scored {
    float log_probability;
    bool best;
};
Scored score(std::span<const float> logits, std::uint32_t token);

}  // namespace qwen3moe
