// A model's weights on a device: every tensor once, its blocks taken apart as backend/layout.h says.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/vulkan/stream.h"
#include "model/weights.h"

namespace qwen3moe::vulkan {

struct Weight {
    WeightAddress address;
    std::uint32_t type;     // gguf::Type
    std::uint32_t columns;  // weights of a row
};

class DeviceWeights {
  public:
    // Tells the bytes needed; nothing is allocated before `upload`. Throws OutOfMemoryError for a tensor that the
    // device cannot hold in one piece.
    DeviceWeights(std::shared_ptr<Device>, const qwen3moe::Weights&);

    std::uint64_t bytes() const;
    void upload(Stream&, const Poll&);

    const Weight& matrix(const gguf::Tensor* tensor) const { return placed_.at(tensor); }
    Address vector(const gguf::Tensor* tensor) const { return placed_.at(tensor).address.plane0; }

  private:
    // A tensor's planes lie one after the other in one of the pieces of memory.
    struct Place {
        const gguf::Tensor* tensor;
        std::size_t piece;
        std::uint64_t offset;
    };

    std::shared_ptr<Device> device_;
    std::vector<Place> places_;
    std::vector<std::uint64_t> piece_bytes_;
    std::uint64_t chunk_ = 0;  // that travels at a time
    std::vector<std::unique_ptr<Buffer>> pieces_;
    std::unordered_map<const gguf::Tensor*, Weight> placed_;
};

}  // namespace qwen3moe::vulkan
