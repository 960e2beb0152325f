#include "backend/shown.h"

namespace qwen3moe {

Extent extent_of(const Config& c, Buffer buffer, std::uint32_t layer, std::uint32_t rows, std::uint32_t wanted) {
    const std::size_t used = c.experts_used;
    switch (buffer) {
        case Buffer::normed:
            return {layer == kNoLayer ? wanted : rows, c.width};
        case Buffer::q:
        case Buffer::attention:
            return {rows, c.q_rows()};
        case Buffer::k:
        case Buffer::v:
            return {rows, c.kv_rows()};
        case Buffer::router_logits:
        case Buffer::probabilities:
            return {rows, c.experts};
        case Buffer::expert_ids:
        case Buffer::expert_weights:
            return {rows, used};
        case Buffer::gate:
        case Buffer::up:
        case Buffer::swiglu:
            return {rows, used * c.ff};
        case Buffer::expert_out:
            return {rows, used * c.width};
        default:
            return {rows, c.width};
    }
}

}  // namespace qwen3moe
