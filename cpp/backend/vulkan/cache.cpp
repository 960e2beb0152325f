#include "backend/vulkan/cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

std::uint64_t in_tiles(std::uint64_t keys) { return (keys + QM_KEY_TILE - 1) / QM_KEY_TILE * QM_KEY_TILE; }

// Visits the values of K: visit(index in the canonical bytes, where among all heads' tiles its high digit is, its low).
template <class Visit>
void each_of_k(const CacheShape& s, std::uint32_t positions, Visit visit) {
    const std::size_t dim = s.head_dim, tile_bytes = 2 * dim * QM_KEY_TILE;
    std::size_t index = 0;
    for (std::size_t head = 0; head < s.kv_heads; head++)
        for (std::size_t key = 0; key < positions; key++) {
            const std::size_t tile = head * in_tiles(positions) / QM_KEY_TILE + key / QM_KEY_TILE;
            for (std::size_t i = 0; i < dim; i++) {
                const std::size_t high = tile * tile_bytes + (i / 16 * QM_KEY_TILE + key % QM_KEY_TILE) * 16 + i % 16;
                visit(index++, high, high + tile_bytes / 2);
            }
        }
}

}  // namespace

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

std::uint32_t DeviceCache::room() const { return static_cast<std::uint32_t>(in_tiles(shape_.context)); }

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
    const std::uint64_t tiles = in_tiles(positions);
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

// What a host needs of a layer's first positions, in order: move(where it is here, where there). Returns the bytes.
// K in whole tiles, its scales, V and its scales, head after head: but for K, the canonical bytes.
template <class Move>
std::uint64_t DeviceCache::each_run(std::uint32_t layer, std::uint32_t positions, Move move) const {
    const LayerParts at = parts();
    std::uint64_t there = 0;
    const auto heads = [&](std::uint64_t start, std::uint64_t row_bytes, std::uint64_t rows) {
        for (std::uint64_t head = 0; head < shape_.kv_heads; head++, there += rows * row_bytes)
            move(in_layer(layer, start + head * room() * row_bytes, rows * row_bytes), there);
    };
    heads(0, 2 * shape_.head_dim, in_tiles(positions));
    heads(at.k_scale, sizeof(float), positions);
    heads(at.v, 2 * shape_.head_dim, positions);
    heads(at.v_scale, sizeof(float), positions);
    return there;
}

void DeviceCache::read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const {
    device_->require_usable();
    const std::uint64_t bytes = each_run(layer, positions, [](const Region&, std::uint64_t) {});
    const Buffer host(device_, bytes, Where::device_to_host);
    Stream stream(device_);
    stream.name("reading a cache");
    Recording& work = stream.recording({});
    each_run(layer, positions,
             [&](const Region& here, std::uint64_t there) { work.copy(here, host.part(there, here.bytes)); });
    stream.finish({});

    const std::int8_t* const digits = host.as<std::int8_t>();
    each_of_k(shape_, positions, [&](std::size_t index, std::size_t high, std::size_t low) {
        const auto whole = static_cast<std::int16_t>(256 * digits[high] + digits[low]);
        std::memcpy(out.data() + index * sizeof whole, &whole, sizeof whole);
    });
    const std::uint64_t k = std::uint64_t(shape_.kv_heads) * 2 * shape_.head_dim;
    std::memcpy(out.data() + k * positions, host.as<std::byte>(k * in_tiles(positions)), out.size() - k * positions);
}

void DeviceCache::write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) {
    device_->require_usable();
    const std::uint64_t bytes = each_run(layer, positions, [](const Region&, std::uint64_t) {});
    const Buffer host(device_, bytes, Where::host_to_device);
    const std::uint64_t k = std::uint64_t(shape_.kv_heads) * 2 * shape_.head_dim;
    std::int8_t* const digits = host.as<std::int8_t>();
    std::memset(digits, 0, k * in_tiles(positions));
    each_of_k(shape_, positions, [&](std::size_t index, std::size_t high, std::size_t low) {
        std::int16_t whole;
        std::memcpy(&whole, in.data() + index * sizeof whole, sizeof whole);
        digits[high] = static_cast<std::int8_t>(qm_x16_high(whole));
        digits[low] = static_cast<std::int8_t>(qm_x16_low(whole));
    });
    std::memcpy(host.as<std::byte>(k * in_tiles(positions)), in.data() + k * positions, in.size() - k * positions);

    Stream stream(device_);
    stream.name("filling a cache");
    Recording& work = stream.recording({});
    each_run(layer, positions,
             [&](const Region& here, std::uint64_t there) { work.copy(host.part(there, here.bytes), here); });
    stream.finish({});
}

}  // namespace qwen3moe::vulkan
