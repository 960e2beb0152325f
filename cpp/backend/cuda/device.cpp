#include "backend/cuda/device.h"

#include "backend/cuda.h"
#include "backend/opener.h"
#include "errors.h"

namespace qwen3moe::cuda {
namespace {

Opener opener("CUDA");

}  // namespace

bool opened_here() { return opener.here(); }

void check(cudaError_t error, const char* doing) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // an error that is not sticky is not met again
    const std::string message = std::string("CUDA: ") + doing + " failed: " + cudaGetErrorString(error);
    if (error == cudaErrorMemoryAllocation) throw OutOfMemoryError(message);
    throw DeviceError(message);
}

Current::Current(std::uint32_t device) {
    opener.require_here();
    check(cudaGetDevice(&before_), "asking for the current device");
    check(cudaSetDevice(static_cast<int>(device)), "opening the device");
}
Current::~Current() { cudaSetDevice(before_); }

void require_free(std::uint64_t bytes, const std::string& what) {
    std::size_t available = 0, all = 0;
    check(cudaMemGetInfo(&available, &all), "asking for free memory");
    const std::uint64_t budget = available / 100 * 95;
    if (bytes > budget)
        throw OutOfMemoryError(what + " needs " + std::to_string(bytes) + " bytes on the device; " +
                               std::to_string(available) +
                               " are free, of which 95 % may be used: " + std::to_string(budget));
}

Memory::Memory(std::size_t bytes) { check(cudaMalloc(&pointer_, bytes), "allocating memory"); }
Memory::~Memory() {
    if (opened_here()) cudaFree(pointer_);
}

Pinned::Pinned(std::size_t bytes) { check(cudaMallocHost(&pointer_, bytes), "allocating pinned memory"); }
Pinned::~Pinned() {
    if (opened_here()) cudaFreeHost(pointer_);
}

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
Stream::~Stream() {
    if (opened_here()) cudaStreamDestroy(stream_);
}

Event::Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
Event::~Event() {
    if (opened_here()) cudaEventDestroy(event_);
}
void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
void Event::wait(const char* doing) const { check(cudaEventSynchronize(event_), doing); }

Devices devices() {
    Devices found;
    int driver = 0;
    int count = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        found.reason = "no NVIDIA driver is installed";
    } else if (!opened_here()) {
        found.reason = "this process was forked from one that had opened CUDA; start it with spawn";
    } else if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
        found.reason = cudaGetErrorString(error);
        cudaGetLastError();
    } else if (count == 0) {
        found.reason = "the NVIDIA driver finds no device";
    }
    for (int i = 0; i < count; i++) {
        cudaDeviceProp properties;
        check(cudaGetDeviceProperties(&properties, i), "asking for a device's name");
        found.names.emplace_back(properties.name);
    }
    return found;
}

}  // namespace qwen3moe::cuda
