// A fixed pool of threads that share a range of items. Which thread does which item never shows in a result.
// Every thread has a fixed part of the range, the same for the same range each time: what it reads stays near it. One
// that is done takes from the parts of the others.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "backend/executor.h"
#include "cpu/steps.h"

namespace qwen3moe {

class Pool {
  public:
    explicit Pool(unsigned threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    unsigned threads() const { return threads_; }

    // Does items [0, items) in pieces of at most `grain`; the caller works too, and polls between its pieces.
    // `work` must not throw. One caller at a time.
    void run(std::uint32_t items, std::uint32_t grain, const std::function<void(cpu::Range)>& work, const Poll& poll);

  private:
    // What is left of a thread's part, on a cache line of its own.
    struct alignas(64) Part {
        std::atomic<std::uint32_t> next{0};
        std::uint32_t last = 0;
    };

    void start();
    void end();
    void abandon();
    void serve(unsigned thread);
    void take_pieces(unsigned thread, const Poll* poll);

    unsigned threads_;
    int process_ = 0;  // a forked child has none of the workers and starts its own
    std::vector<std::thread> workers_;

    // The current job, published by `epoch_`.
    const std::function<void(cpu::Range)>* work_ = nullptr;
    std::uint32_t grain_ = 1;
    std::vector<Part> parts_;
    std::atomic<std::uint32_t> epoch_{0};
    std::atomic<std::uint32_t> busy_{0};
    std::atomic<bool> stop_{false};
};

// Processors that this process may run on.
unsigned usable_processors();

}  // namespace qwen3moe
