// The steps on a Vulkan device: one function for each, which adds its dispatches to a recording.
#pragma once

#include "backend/vulkan/buffers.h"
#include "backend/vulkan/weights.h"

namespace qwen3moe::vulkan {

// What shaders reach by address, and wait for like the rest.
inline const Region kCaches = by_address(0);

// What attention makes of each block of keys, before they are merged.
struct KeyBlocks {
    Region values;        // [tokens][heads][count][head_dim]
    Region maximum;       // [tokens][heads][count]
    Region total;         // [tokens][heads][count]
    std::uint32_t count;  // enough for the longest sequence of the batch
};

// Heads that share their keys, at most four, are taken together where enough workgroups are left.
std::uint32_t heads_together(const Style&, const AttentionParams&, std::uint64_t blocks);

// Where the rows of a batch belong.
struct Sequences {
    Region places;
    Region caches;
    std::uint32_t count;
};

void embed(Recording&, const EmbedParams&, const Weight&, const Region& tokens, const Region& residual);
void norm(Recording&, const NormParams&, const Region& x, Address weight, const Activations& to);
void qkv(Recording&, const QkvParams&, const Weight& q, const Weight& k, const Weight& v, const Buffers&);
void rope_append(Recording&, const RopeAppendConstants&, const Buffers&, const Sequences&);
void attention(Recording&, const AttentionConstants&, const Buffers&, const Sequences&, const KeyBlocks&);
void output(Recording&, const OutputParams&, const Weight&, const Buffers&);
void router(Recording&, const RouterParams&, const Weight&, const Buffers&);
void topk(Recording&, const TopkParams&, const Buffers&);
void gate_up(Recording&, const GateUpParams&, const Weight& gate, const Weight& up, const Buffers&);
void swiglu(Recording&, const SwigluParams&, const Buffers&);
void down(Recording&, const DownParams&, const Weight&, const Buffers&);
void combine(Recording&, const CombineParams&, const Buffers&);
// And the norm that follows.
void combine_norm(Recording&, const CombineNormConstants&, const Buffers&);
void select(Recording&, const NormParams&, const Buffers&);
// first: of the wanted rows, that this call begins with
void logits(Recording&, const LogitsParams&, std::uint32_t first, const Weight&, const Buffers&);

// From as many rows of logits; first: of the wanted rows, that this call begins with
void choose(Recording&, const ChooseParams&, std::uint32_t first, const Buffers&);

// Raises flag `which` where one of the first `count` values is not finite.
void find_nonfinite(Recording&, const Region& x, std::uint64_t count, const Region& flags, std::uint32_t which);

}  // namespace qwen3moe::vulkan
