// A CUDA device in use, its memory, and errors of the runtime as ours. Needs no driver until one is asked for.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace qwen3moe::cuda {

// Throws DeviceError, or OutOfMemoryError for want of memory; `doing` names the step.
void check(cudaError_t, const char* doing);

// Makes a device the calling thread's, for as long as it lives; then the one before it again.
// Throws DeviceError in a process that was forked from one that used CUDA.
class Current {
  public:
    explicit Current(std::uint32_t device);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

  private:
    int before_ = 0;
};

// Throws OutOfMemoryError unless `bytes` are at most 95 % of what the current device has free.
void require_free(std::uint64_t bytes, const std::string& what);

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

// Bytes of the host that a device reads and writes directly.
class Pinned {
  public:
    explicit Pinned(std::size_t bytes);
    ~Pinned();
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;

    template <class T>
    T* as() const {
        return static_cast<T*>(pointer_);
    }

  private:
    void* pointer_ = nullptr;
};

class Stream {
  public:
    Stream();
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    cudaStream_t get() const { return stream_; }

  private:
    cudaStream_t stream_ = nullptr;
};

class Event {
  public:
    Event();
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void record(cudaStream_t);
    void wait(const char* doing) const;  // for what was recorded last
    cudaEvent_t get() const { return event_; }

  private:
    cudaEvent_t event_ = nullptr;
};

// Cuts one piece of memory into arrays. Counted with a null base first, it says how many bytes they need.
class Arena {
  public:
    explicit Arena(void* base = nullptr) : base_(static_cast<std::byte*>(base)) {}

    template <class T>
    void take(T*& array, std::uint64_t count) {
        array = base_ ? reinterpret_cast<T*>(base_ + bytes_) : nullptr;
        bytes_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    }
    std::uint64_t bytes() const { return bytes_; }

  private:
    static constexpr std::uint64_t kAlignment = 256;
    std::byte* base_;
    std::uint64_t bytes_ = 0;
};

}  // namespace qwen3moe::cuda
