// A sequence's cache on a device: per layer, K and V heads as X16 with their scales.
#pragma once

#include <memory>

#include "backend/cuda/device.h"
#include "backend/executor.h"
#include "cuda/steps.h"

namespace qwen3moe::cuda {

struct CacheShape {
    std::uint32_t device;
    std::uint32_t layers;
    std::uint32_t kv_heads;
    std::uint32_t head_dim;
    std::uint32_t context;
};

class DeviceCache final : public Cache {
  public:
    explicit DeviceCache(const CacheShape& shape);  // throws OutOfMemoryError

    std::uint32_t context() const override { return shape_.context; }
    std::unique_ptr<Cache> copy(std::uint32_t positions) const override;
    void read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const override;
    void write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) override;

    const CacheView& view() const { return view_; }

  private:
    CacheShape shape_;
    std::unique_ptr<Memory> memory_;
    CacheView view_{};
};

}  // namespace qwen3moe::cuda
