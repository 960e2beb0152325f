#include "backend/pool.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <string>
#include <system_error>

#include "errors.h"

namespace qwen3moe {
namespace {

// A step of a small model takes microseconds: a short spin saves the sleep, a long one would waste the processor.
constexpr int kSpins = 4000;

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Returns once `value` is no longer `old`.
void wait_past(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    for (int i = 0; i < kSpins; i++) {
        if (value.load(std::memory_order_acquire) != old) return;
        relax();
    }
    value.wait(old, std::memory_order_acquire);
}

}  // namespace

unsigned usable_processors() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
    return std::max(1u, std::thread::hardware_concurrency());
}

Pool::Pool(unsigned threads) : threads_(std::max(1u, threads)), parts_(threads_) {
    try {
        start();
    } catch (...) {
        end();
        throw;
    }
}

void Pool::start() {
    process_ = getpid();
    workers_.reserve(threads_ - 1);
    try {
        while (workers_.size() < threads_ - 1) {
            const auto part = static_cast<unsigned>(workers_.size()) + 1;
            workers_.emplace_back([this, part] { serve(part); });
        }
    } catch (const std::system_error& e) {
        throw OutOfMemoryError("the system started " + std::to_string(workers_.size() + 1) + " of " +
                               std::to_string(threads_) + " threads (" + e.code().message() + "). Ask for fewer");
    }
}

// A forked child holds handles of threads that it does not have; joining or detaching them is not possible.
void Pool::abandon() { new std::vector<std::thread>(std::move(workers_)); }

Pool::~Pool() {
    if (process_ != getpid()) {
        abandon();
        return;
    }
    end();
}

void Pool::end() {
    stop_ = true;
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void Pool::serve(unsigned thread) {
    std::uint32_t seen = 0;
    while (true) {
        wait_past(epoch_, seen);
        if (stop_) return;
        seen = epoch_.load(std::memory_order_acquire);
        take_pieces(thread, nullptr);
        if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
}

void Pool::take_pieces(unsigned thread, const Poll* poll) {
    for (unsigned i = 0; i < threads_; i++) {
        Part& part = parts_[(thread + i) % threads_];
        while (true) {
            const std::uint32_t first = part.next.fetch_add(grain_, std::memory_order_relaxed);
            if (first >= part.last) break;
            (*work_)({first, std::min(first + grain_, part.last)});
            if (poll) (*poll)();
        }
    }
}

void Pool::run(std::uint32_t items, std::uint32_t grain, const std::function<void(cpu::Range)>& work,
               const Poll& poll) {
    if (items == 0) return;
    poll();
    if (process_ != getpid()) {
        abandon();
        workers_.clear();
        epoch_ = 0;
        start();
    }
    work_ = &work;
    grain_ = std::max(1u, grain);
    const std::uint64_t pieces = (std::uint64_t(items) + grain_ - 1) / grain_;
    for (std::uint64_t i = 0; i < threads_; i++) {
        parts_[i].next.store(static_cast<std::uint32_t>(pieces * i / threads_ * grain_), std::memory_order_relaxed);
        parts_[i].last =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(items, pieces * (i + 1) / threads_ * grain_));
    }
    std::exception_ptr stopped;
    const auto help = [&] {
        try {
            take_pieces(0, &poll);
        } catch (...) {
            stopped = std::current_exception();
            for (Part& part : parts_) part.next.store(part.last, std::memory_order_relaxed);  // each ends its piece
        }
    };
    if (workers_.empty() || items <= grain_) {
        help();
    } else {
        busy_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
        epoch_.fetch_add(1, std::memory_order_acq_rel);
        epoch_.notify_all();
        help();
        for (std::uint32_t left; (left = busy_.load(std::memory_order_acquire)) != 0;) wait_past(busy_, left);
    }
    if (stopped) std::rethrow_exception(stopped);
}

}  // namespace qwen3moe
