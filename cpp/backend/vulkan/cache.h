// A sequence's cache on a device: per layer, K and V heads as X16 with their scales, laid out as params.h says.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/executor.h"
#include "backend/vulkan/stream.h"

namespace qwen3moe::vulkan {

struct CacheShape {
    std::uint32_t layers;
    std::uint32_t kv_heads;
    std::uint32_t head_dim;
    std::uint32_t context;
};

class DeviceCache final : public Cache {
  public:
    DeviceCache(std::shared_ptr<Device>, const CacheShape&);  // throws OutOfMemoryError

    std::uint32_t context() const override { return shape_.context; }
    std::unique_ptr<Cache> copy(std::uint32_t positions) const override;
    void read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const override;
    void write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) override;

    std::uint32_t room() const;  // the context in whole tiles of keys
    VkDeviceAddress layer(std::uint32_t i) const;

  private:
    struct LayerParts {
        std::uint64_t v, k_scale, v_scale, end;  // where they begin; K is first
    };
    LayerParts parts() const;
    Region in_layer(std::uint32_t layer, std::uint64_t offset, std::uint64_t bytes) const;
    template <class Move>
    std::uint64_t each_run(std::uint32_t layer, std::uint32_t positions, Move move) const;

    std::shared_ptr<Device> device_;
    CacheShape shape_;
    std::uint32_t layers_of_piece_ = 0;
    std::vector<std::unique_ptr<Buffer>> pieces_;
};

}  // namespace qwen3moe::vulkan
