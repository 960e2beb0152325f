#include "backend/cpu_hash.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace qwen3moe {
namespace {

constexpr std::uint64_t kRun = 4096;  // inputs whose results stay in the first-level cache

// Takes runs until none is left.
QmHash work(const cpu::Steps& steps, const HashRange& range, std::atomic<std::uint64_t>& next) {
    QmHash hash{0, 0};
    std::uint32_t in[kRun], out[kRun];
    for (std::uint64_t at; (at = next.fetch_add(kRun)) < range.count;) {
        const std::uint64_t n = std::min(kRun, range.count - at);
        for (std::uint64_t i = 0; i < n; i++) in[i] = static_cast<std::uint32_t>(range.first + at + i);
        steps.call(range.function, in, out, n);
        for (std::uint64_t i = 0; i < n; i++)
            if (qm_defined(range.function, in[i])) hash = qm_fold(hash, in[i], out[i]);
    }
    return hash;
}

}  // namespace

std::uint64_t cpu_hash(const cpu::Steps& steps, const HashRange& range) {
    if (range.function == QM_HASH_SELFTEST) return steps.selftest();
    std::atomic<std::uint64_t> next{0};
    std::vector<QmHash> parts(std::max(1u, std::thread::hardware_concurrency()));
    {
        std::vector<std::jthread> threads;
        for (QmHash& part : parts) threads.emplace_back([&] { part = work(steps, range, next); });
    }
    QmHash sum{0, 0};
    for (const QmHash& part : parts) sum = {sum.low + part.low, sum.high + part.high};
    return std::uint64_t(sum.high) << 32 | sum.low;
}

}  // namespace qwen3moe
