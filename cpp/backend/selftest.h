// Does a device do the arithmetic? Hashes of it on any device, by name: "cpu:avx2", "cuda:0", "vulkan:0".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/selftest.h"

namespace qwen3moe {

// contracts/arithmetic-v1.yaml, selftest.hash
inline constexpr std::uint64_t kSelftestHash = std::uint64_t(QM_SELFTEST_HIGH) << 32 | QM_SELFTEST_LOW;

// Indices [first, first + count) of a function, as `HashParams` means it, where the whole range of 2^32 is one of them.
struct HashRange {
    std::uint32_t function;
    std::uint64_t first;
    std::uint64_t count;
};
inline constexpr HashRange kSelftestRange = {QM_HASH_SELFTEST, 0, QM_SELFTEST_COUNT};

struct SelftestResult {
    std::string device;  // as it was asked for
    std::string name;    // as the device calls itself
    std::uint64_t hash;
    std::string reason;  // empty: the device passed

    bool ok() const { return reason.empty(); }
};

// Throw ArgumentError for a name that is none, BackendUnavailableError for a device that is not here.
SelftestResult selftest(std::string_view device);
std::uint64_t hash(std::string_view device, const HashRange&);

}  // namespace qwen3moe
