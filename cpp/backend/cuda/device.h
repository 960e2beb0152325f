// A CUDA device in use, its memory, and errors of the runtime as ours. Needs no driver until one is asked for.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace qwen3moe::cuda {

// Throws DeviceError, or OutOfMemoryError for want of memory; `doing` names the step.
void check(cudaError_t, const char* doing);

// Makes a device the calling thread's, for as long as it lives; then the one before it again.
class Current {
  public:
    explicit Current(std::uint32_t device);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

  private:
    int before_ = 0;
};

// Bytes on the current device.
class Memory {
  public:
    explicit Memory(std::size_t bytes);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    void* get() const { return pointer_; }

  private:
    void* pointer_ = nullptr;
};

}  // namespace qwen3moe::cuda
