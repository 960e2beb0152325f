#include "backend/cuda/device.h"

#include <string>

#include "backend/cuda.h"
#include "errors.h"

namespace qwen3moe::cuda {

void check(cudaError_t error, const char* doing) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // an error that is not sticky is not met again
    const std::string message = std::string("CUDA: ") + doing + " failed: " + cudaGetErrorString(error);
    if (error == cudaErrorMemoryAllocation) throw OutOfMemoryError(message);
    throw DeviceError(message);
}

Current::Current(std::uint32_t device) {
    check(cudaGetDevice(&before_), "asking for the current device");
    check(cudaSetDevice(static_cast<int>(device)), "opening the device");
}
Current::~Current() { cudaSetDevice(before_); }

Memory::Memory(std::size_t bytes) { check(cudaMalloc(&pointer_, bytes), "allocating memory"); }
Memory::~Memory() { cudaFree(pointer_); }

Devices devices() {
    Devices found;
    int driver = 0;
    int count = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        found.reason = "no NVIDIA driver is installed";
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
