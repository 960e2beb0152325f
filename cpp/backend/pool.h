// A fixed pool of threads that share a range of items. Which thread does which item never shows in a result.
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

    // Does items [0, items) in pieces of `grain`; the caller works too, and polls between its pieces.
    // `work` must not throw. One caller at a time.
    void run(std::uint32_t items, std::uint32_t grain, const std::function<void(cpu::Range)>& work, const Poll& poll);

  private:
    void start();
    void end();
    void abandon();
    void serve();
    void take_pieces(const Poll* poll);

    unsigned threads_;
    int process_ = 0;  // a forked child has none of the workers and starts its own
    std::vector<std::thread> workers_;

    // The current job, published by `epoch_`.
    const std::function<void(cpu::Range)>* work_ = nullptr;
    std::uint32_t items_ = 0;
    std::uint32_t grain_ = 1;
    std::atomic<std::uint32_t> next_{0};
    std::atomic<std::uint32_t> epoch_{0};
    std::atomic<std::uint32_t> busy_{0};
    std::atomic<bool> stop_{false};
};

// Processors that this process may run on.
unsigned usable_processors();

}  // namespace qwen3moe
