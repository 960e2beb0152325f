#include "backend/cpu_hash.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace qwen3moe {

std::uint64_t cpu_hash(const cpu::Steps& steps, const HashRange& range) {
    constexpr std::uint64_t kPart = 1u << 16;
    const std::uint64_t part = range.function == QM_HASH_SELFTEST ? range.count : kPart;
    std::atomic<std::uint64_t> next{0};
    std::vector<QmHash> hashes(std::max(1u, std::thread::hardware_concurrency()), QmHash{0, 0});
    const auto work = [&](QmHash& sum) {
        for (std::uint64_t at; (at = next.fetch_add(part)) < range.count;) {
            const auto first = static_cast<std::uint32_t>(range.first + at);
            const QmHash more =
                steps.selftest({range.function, first, static_cast<std::uint32_t>(std::min(part, range.count - at))});
            sum = {sum.low + more.low, sum.high + more.high};
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < hashes.size(); i++) threads.emplace_back(work, std::ref(hashes[i]));
        work(hashes[0]);
    }
    QmHash sum{0, 0};
    for (const QmHash& hash : hashes) sum = {sum.low + hash.low, sum.high + hash.high};
    return std::uint64_t(sum.high) << 32 | sum.low;
}

}  // namespace qwen3moe
