// What a stream was given once, to be given again in one call.
#pragma once

#include <functional>

#include "backend/cuda/device.h"

namespace qwen3moe::cuda {

class Graph {
  public:
    Graph() = default;
    ~Graph();
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    explicit operator bool() const { return graph_ != nullptr; }
    void record(cudaStream_t stream, const std::function<void()>& launches);
    void launch(cudaStream_t stream) const;

  private:
    cudaGraphExec_t graph_ = nullptr;
};

}  // namespace qwen3moe::cuda
