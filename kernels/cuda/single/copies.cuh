// Bulk copies to shared memory, and the barrier that tells when they are there. They need no registers and no thread
// that waits, so that a kernel has its weights on their way while the step before still computes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace qwen3moe::cuda {

// Its phases end in turn, each when `count` threads have told what bytes to expect and these are there.
class Arrival {
  public:
    // By one thread; all see it after a barrier.
    __device__ __forceinline__ void set(unsigned count) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address()), "r"(count) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
    }
    __device__ __forceinline__ void expect(unsigned bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes) : "memory");
#endif
    }
    // Of whole sixteens of bytes, as are both addresses.
    __device__ __forceinline__ void copy(void* to, const void* from, unsigned bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                         static_cast<unsigned>(__cvta_generic_to_shared(to))),
                     "l"(from), "r"(bytes), "r"(address())
                     : "memory");
#endif
    }
    // parity: of the phase, counted from 0.
    __device__ __forceinline__ void wait(unsigned parity) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
        unsigned done = 0;
        while (!done)
            asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                         : "=r"(done)
                         : "r"(address()), "r"(parity)
                         : "memory");
#endif
    }

  private:
    __device__ __forceinline__ unsigned address() { return static_cast<unsigned>(__cvta_generic_to_shared(&state_)); }

    std::uint64_t state_;
};

// A counter in shared memory, one more. Who sees the sum sees what was written before those that made it.
__device__ __forceinline__ unsigned count_up(unsigned* counter) {
    unsigned before = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("atom.acq_rel.cta.shared::cta.add.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(counter)))
                 : "memory");
#endif
    return before + 1;
}

// The same for a counter that all blocks of threads see.
__device__ __forceinline__ void count_up_for_all(unsigned* counter) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
#endif
}
__device__ __forceinline__ void wait_for_all(const unsigned* counter, unsigned least) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    unsigned now = 0;
    while (now < least) asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
#endif
}

// Until it has come so far.
__device__ __forceinline__ void wait_for(const unsigned* counter, unsigned least) {
    while (*reinterpret_cast<const volatile unsigned*>(counter) < least) {
    }
}

}  // namespace qwen3moe::cuda
