// A model's weights on a device: every tensor once, its blocks taken apart as layout.h says.
#pragma once

#include <unordered_map>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/executor.h"
#include "cuda/steps.h"
#include "model/weights.h"

namespace qwen3moe::cuda {

class DeviceWeights {
  public:
    // Tells the bytes needed; nothing is allocated before `upload`.
    explicit DeviceWeights(const qwen3moe::Weights& weights);

    std::uint64_t bytes() const { return bytes_; }
    void upload(cudaStream_t stream, const Poll& poll);

    const Weight& matrix(const gguf::Tensor* tensor) const { return placed_.at(tensor); }
    const float* vector(const gguf::Tensor* tensor) const {
        return reinterpret_cast<const float*>(placed_.at(tensor).plane[0]);
    }

  private:
    std::uint64_t place(std::byte* base);  // the tensors from `base` on; the bytes they take

    std::vector<const gguf::Tensor*> tensors_;
    std::unordered_map<const gguf::Tensor*, Weight> placed_;
    std::uint64_t bytes_ = 0;
    std::unique_ptr<Memory> memory_;
};

}  // namespace qwen3moe::cuda
