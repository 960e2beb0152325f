// What a stage of a trace shows, as a GPU's executor has it.
#pragma once

#include "backend/executor.h"
#include "model/config.h"

namespace qwen3moe {

struct Extent {
    std::size_t rows;
    std::size_t values;  // of four bytes, in a row
};

// Of a buffer after a step of a layer, for a batch of so many rows, some of which are wanted.
Extent extent_of(const Config&, Buffer, std::uint32_t layer, std::uint32_t rows, std::uint32_t wanted);

// Where it lies among the buffers of an executor; no stage shows the others.
template <class Place, class Buffers>
Place place_of(const Buffers& b, Buffer buffer) {
    switch (buffer) {
        case Buffer::residual:
            return b.residual;
        case Buffer::normed:
            return b.normed.values;
        case Buffer::q:
            return b.q;
        case Buffer::k:
            return b.k;
        case Buffer::v:
            return b.v;
        case Buffer::attention:
            return b.attention.values;
        case Buffer::router_logits:
            return b.router_logits;
        case Buffer::probabilities:
            return b.probabilities;
        case Buffer::expert_ids:
            return b.expert_ids;
        case Buffer::expert_weights:
            return b.expert_weights;
        case Buffer::gate:
            return b.gate;
        case Buffer::up:
            return b.up;
        case Buffer::swiglu:
            return b.swiglu.values;
        case Buffer::expert_out:
            return b.expert_out;
        case Buffer::moe_out:
            return b.moe_out;
        default:
            return {};
    }
}

}  // namespace qwen3moe
