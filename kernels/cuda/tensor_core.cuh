// What a warp does with matrices together. Products: c[16][8] += a[16][k] * b[k][8], int8 into int32. Of four words,
// lane 4 g + t holds bytes 4 t .. 4 t + 3 of rows g and g + 8 of a, of column g of b, and c[g], c[g + 8] at columns 2 t
// and 2 t + 1.
#pragma once

#include <cstdint>

namespace qwen3moe::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
__device__ __forceinline__ void multiply8(int& c0, int& c1, int a, int b) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+r"(c0), "+r"(c1)
        : "r"(a), "r"(b));
}
__device__ __forceinline__ void multiply8_unsigned(int& c0, int& c1, int a, int b) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.u8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+r"(c0), "+r"(c1)
        : "r"(a), "r"(b));
}
#endif

// k = 16
__device__ __forceinline__ void multiply16(int (&c)[4], int a0, int a1, int b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    multiply8(c[0], c[1], a0, b);
    multiply8(c[2], c[3], a1, b);
#else
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(b));
#endif
}

// The same of bytes of b from 0 to 255.
__device__ __forceinline__ void multiply16_unsigned(int (&c)[4], int a0, int a1, int b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    multiply8_unsigned(c[0], c[1], a0, b);
    multiply8_unsigned(c[2], c[3], a1, b);
#else
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(b));
#endif
}

// k = 32: the second sixteen in a[2], a[3] and b[1]
__device__ __forceinline__ void multiply32(int (&c)[4], const int (&a)[4], const int (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    multiply16(c, a[0], a[1], b[0]);
    multiply16(c, a[2], a[3], b[1]);
#else
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four matrices of eight rows of sixteen bytes from shared memory, lane 8 i + r telling where row r of matrix i is:
// lane 4 g + t gets word t of row g of each.
__device__ __forceinline__ void load_matrices(const char* row, unsigned (&to)[4]) {
#if defined(__CUDA_ARCH__)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
#endif
}

}  // namespace qwen3moe::cuda
