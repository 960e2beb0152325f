// Ctrl-C in long calls: asks Python for pending signals, at most twenty times a second.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

namespace qwen3moe::bindings {

// Call without the GIL. Throws the KeyboardInterrupt (or whatever a handler raised).
class PythonPoll {
  public:
    void operator()() {
        const auto now = Clock::now();
        if (now < next_) return;
        next_ = now + std::chrono::milliseconds(50);
        pybind11::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    }

  private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point next_ = Clock::now() + std::chrono::milliseconds(50);
};

}  // namespace qwen3moe::bindings
