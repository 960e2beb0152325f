#include "backend/vulkan/cache.h"

#include <algorithm>
#include <string>

#include "errors.h"

namespace qwen3moe::vulkan {

DeviceCache::DeviceCache(std::shared_ptr<Device> device, const CacheShape& shape)
    : device_(std::move(device)), shape_(shape) {
    const std::uint64_t most = device_->limits().allocation;
    const std::uint64_t layer = parts().end;
    device_->require_free(layer * shape.layers, "a cache for " + std::to_string(shape.context) + " tokens");
    if (layer > most)
        throw OutOfMemoryError("a cache for " + std::to_string(shape.context) + " tokens needs " +
                               std::to_string(layer) + " bytes in one piece; the device gives at most " +
                               std::to_string(most));
    layers_of_piece_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(shape.layers, most / layer));
    for (std::uint32_t first = 0; first < shape.layers; first += layers_of_piece_)
        pieces_.push_back(
            std::make_unique<Buffer>(device_, layer * std::min(layers_of_piece_, shape.layers - first), Where::device));
}

std::uint32_t DeviceCache::room() const { return (shape_.context + QM_KEY_TILE - 1) / QM_KEY_TILE * QM_KEY_TILE; }

DeviceCache::LayerParts DeviceCache::parts() const {
    const std::uint64_t rows = std::uint64_t(shape_.kv_heads) * room();
    return {2 * rows * shape_.head_dim, 4 * rows * shape_.head_dim, 4 * rows * (shape_.head_dim + 1),
            4 * rows * (shape_.head_dim + 2)};
}

VkDeviceAddress DeviceCache::layer(std::uint32_t i) const {
    return pieces_[i / layers_of_piece_]->address() + i % layers_of_piece_ * parts().end;
}

Region DeviceCache::in_layer(std::uint32_t layer, std::uint64_t offset, std::uint64_t bytes) const {
    return pieces_[layer / layers_of_piece_]->part(layer % layers_of_piece_ * parts().end + offset, bytes);
}

std::unique_ptr<Cache> DeviceCache::copy(std::uint32_t positions) const {
    device_->require_usable();
    auto made = std::make_unique<DeviceCache>(device_, shape_);
    if (positions == 0) return made;
    Stream stream(device_);
    stream.name("copying a cache");
    Recording& work = stream.recording({});
    const LayerParts at = parts();
    const std::uint64_t tiles = (positions + QM_KEY_TILE - 1) / QM_KEY_TILE * QM_KEY_TILE;
    const auto copy_rows = [&](std::uint32_t layer, std::uint64_t start, std::uint64_t row_bytes, std::uint64_t rows) {
        for (std::uint64_t head = 0; head < shape_.kv_heads; head++) {
            const std::uint64_t offset = start + head * room() * row_bytes;
            work.copy(in_layer(layer, offset, rows * row_bytes), made->in_layer(layer, offset, rows * row_bytes));
        }
    };
    for (std::uint32_t layer = 0; layer < shape_.layers; layer++) {
        copy_rows(layer, 0, 2 * shape_.head_dim, tiles);
        copy_rows(layer, at.v, 2 * shape_.head_dim, positions);
        copy_rows(layer, at.k_scale, sizeof(float), positions);
        copy_rows(layer, at.v_scale, sizeof(float), positions);
    }
    stream.finish({});
    return made;
}

}  // namespace qwen3moe::vulkan
