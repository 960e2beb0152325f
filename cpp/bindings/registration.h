// pybind11 registers an object in a map when it is made, and is not prepared for that to fail: the object is freed
// twice, or the process ends. A little memory is kept for that moment, and given up when it comes.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <new>

namespace qwen3moe::bindings {

template <class T>
class Registration {
  public:
    // Call once the class is bound.
    static void keep_memory_for(const pybind11::class_<T>&) {
        pybind11::detail::type_info* const type = pybind11::detail::get_type_info(typeid(T));
        original_ = type->init_instance;
        type->init_instance = init;
        refill();
    }

  private:
    static constexpr std::size_t kBytes = 4096;

    static void refill() {
        if (!kept_) kept_.reset(new (std::nothrow) std::byte[kBytes]);
    }

    static void init(pybind11::detail::instance* object, const void* holder) {
        try {
            original_(object, holder);
        } catch (const std::bad_alloc&) {
            kept_.reset();
            original_(object, holder);
        }
        refill();
    }

    static inline void (*original_)(pybind11::detail::instance*, const void*) = nullptr;
    static inline std::unique_ptr<std::byte[]> kept_;  // with the GIL held
};

}  // namespace qwen3moe::bindings
