#include <algorithm>

#include "backend/cuda.h"
#include "backend/cuda/device.h"
#include "cuda/selftest.h"

namespace qwen3moe::cuda {

std::uint64_t hash(std::uint32_t device, const HashRange& range) {
    constexpr std::uint64_t kLaunch = 1u << 28;
    const Current current(device);
    const Memory sum(sizeof(QmHash));
    check(cudaMemset(sum.get(), 0, sizeof(QmHash)), "clearing memory");
    for (std::uint64_t at = 0; at < range.count; at += kLaunch) {
        const auto count = static_cast<std::uint32_t>(std::min(kLaunch, range.count - at));
        const HashParams params{range.function, static_cast<std::uint32_t>(range.first + at), count};
        check(selftest(params, static_cast<QmHash*>(sum.get()), nullptr), "starting the self-test");
    }
    QmHash result;
    check(cudaMemcpy(&result, sum.get(), sizeof(result), cudaMemcpyDeviceToHost), "the self-test");
    return std::uint64_t(result.high) << 32 | result.low;
}

}  // namespace qwen3moe::cuda
