// Decisive routers. In a random model the last chosen expert and the first one left out are often equal but for
// rounding, and a test of logits would then test luck. So the first `experts` channels of the residual carry a code:
// each token's embedding raises the channels of the experts it shall go to, no layer writes to them, and each router
// row reads its channel strongly, and everything else weakly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/types.h"
#include "synth/presets.h"

namespace qwen3moe {

class RouterCode {
  public:
    explicit RouterCode(const Shape& shape)
        : hidden_(shape.hidden), experts_(shape.experts), used_(shape.experts_used) {}

    // The first channels carry the code: none where every expert is used, or the residual is too narrow for more.
    std::uint64_t channels() const { return used_ < experts_ && experts_ <= hidden_ / 2 ? experts_ : 0; }

    // Writes the code into an embedding's row, which holds random blocks: `row` is the token.
    void mark_embedding(gguf::Type type, double deviation, std::uint64_t row, std::uint64_t key,
                        std::span<std::byte> data) const;

    // Adds to the router row of `expert` what reads its channel in this layer.
    void mark_router(gguf::Type type, double gain, std::uint64_t layer, std::uint64_t expert,
                     std::span<std::byte> data) const;

  private:
    std::uint64_t hidden_;
    std::uint64_t experts_;
    std::uint64_t used_;
};

}  // namespace qwen3moe
