// Preloaded: fails the allocation, or the start of a thread, of a given number, and counts what is alive.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<long> target{-1};  // the number that fails; none below 0
std::atomic<long> seen{0};
std::atomic<long> failed{0};
std::atomic<long> live{0};

bool fails() {
    if (target.load() < 0 || seen.fetch_add(1) != target.load()) return false;
    failed.fetch_add(1);
    return true;
}

void* allocate(std::size_t size, std::size_t alignment) {
    if (fails()) return nullptr;
    void* block = nullptr;
    if (posix_memalign(&block, alignment < sizeof(void*) ? sizeof(void*) : alignment, size ? size : 1) != 0)
        return nullptr;
    live.fetch_add(1);
    return block;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
    void* const block = allocate(size, alignment);
    if (!block) throw std::bad_alloc();
    return block;
}

void release(void* block) {
    if (!block) return;
    live.fetch_sub(1);
    std::free(block);
}

bool from_the_module(const void* caller) {
    Dl_info info;
    return dladdr(caller, &info) != 0 && info.dli_fname && std::strstr(info.dli_fname, "_core.");
}

}  // namespace

extern "C" {

void fault_at(long number) {
    seen = 0;
    failed = 0;
    target = number;
}
long fault_seen() { return seen; }
long fault_failed() { return failed; }
long fault_live() { return live; }

void* __libc_calloc(std::size_t count, std::size_t size);

void* calloc(std::size_t count, std::size_t size) {
    if (target.load() >= 0 && from_the_module(__builtin_return_address(0)) && fails()) return nullptr;
    return __libc_calloc(count, size);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    if (fails()) return EAGAIN;
    using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto next = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
    return next(thread, attributes, start, argument);
}

}  // extern "C"

void* operator new(std::size_t size) { return allocate_or_throw(size); }
void* operator new[](std::size_t size) { return allocate_or_throw(size); }
void* operator new(std::size_t size, std::align_val_t to) { return allocate_or_throw(size, std::size_t(to)); }
void* operator new[](std::size_t size, std::align_val_t to) { return allocate_or_throw(size, std::size_t(to)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, alignof(std::max_align_t));
}
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { release(block); }
