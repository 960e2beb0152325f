// A step's kernel may start while the one before it ends: what it does before `after_step_before` touches nothing but
// weights and what was there before that one could let it begin. Every kernel that `launch` starts calls it, so that
// each waits for all before it.
#pragma once

#include <cuda_runtime.h>

#include <utility>

namespace qwen3moe::cuda {

__device__ __forceinline__ void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_step_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void after_step_before() {
    let_next_begin();
    wait_for_step_before();
}

// Of the current device.
inline unsigned attribute(cudaDeviceAttr what) {
    int device = 0, value = 0;
    if (cudaGetDevice(&device) == cudaSuccess) cudaDeviceGetAttribute(&value, what, device);
    return static_cast<unsigned>(value);
}
inline unsigned processors() { return attribute(cudaDevAttrMultiProcessorCount); }

// Devices before compute capability 9 start a kernel when the one before it has ended.
inline bool overlaps_steps() { return attribute(cudaDevAttrComputeCapabilityMajor) >= 9; }

// A multiprocessor divides its memory between cache and shared memory, and has to be empty to change that: kernels that
// are to overlap all ask for the same.
template <class... Parameters>
cudaError_t ask_for_shared(void (*kernel)(Parameters...), std::size_t bytes) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (error != cudaSuccess) return error;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

// shared: bytes that the kernel takes beside what it declares.
template <class... Parameters, class... Arguments>
cudaError_t launch_sharing(void (*kernel)(Parameters...), dim3 grid, unsigned threads, std::size_t shared,
                           cudaStream_t stream, Arguments&&... arguments) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = overlaps_steps() ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, cudaStream_t stream,
                   Arguments&&... arguments) {
    return launch_sharing(kernel, grid, threads, 0, stream, std::forward<Arguments>(arguments)...);
}

}  // namespace qwen3moe::cuda
