#include "backend/selftest.h"

#include <charconv>
#include <cstdio>

#include "backend/cpu_hash.h"
#include "backend/cpu_steps.h"
#include "backend/cuda.h"
#include "backend/vulkan.h"
#include "errors.h"

namespace qwen3moe {
namespace {

struct DeviceName {
    std::string_view backend;
    std::string_view which;  // after the colon; may be empty
};

DeviceName split(std::string_view device) {
    const std::size_t colon = device.find(':');
    if (colon == std::string_view::npos) return {device, {}};
    return {device.substr(0, colon), device.substr(colon + 1)};
}

[[noreturn]] void refuse(std::string_view device) {
    throw ArgumentError("'" + std::string(device) +
                        "' is no device; expected cpu, cpu:<instruction set>, cuda:<number> or vulkan:<number>");
}

std::uint32_t ordinal(std::string_view device, std::string_view which) {
    std::uint32_t number = 0;
    const char* end = which.data() + which.size();
    if (!which.empty()) {
        const auto parsed = std::from_chars(which.data(), end, number);
        if (parsed.ec != std::errc() || parsed.ptr != end) refuse(device);
    }
    return number;
}

const cpu::Steps& steps_of(std::string_view which) { return which.empty() ? cpu_steps() : cpu_steps(which); }

// The name of a GPU by its number; throws where there is none.
std::string found(const Devices& devices, std::string_view device, std::uint32_t number) {
    if (number < devices.names.size()) return devices.names[number];
    throw BackendUnavailableError(
        std::string(device) + ": " +
        (devices.names.empty() ? devices.reason : "there are " + std::to_string(devices.names.size()) + " devices"));
}

std::string hex(std::uint64_t hash) {
    char text[19];
    std::snprintf(text, sizeof(text), "0x%016llx", static_cast<unsigned long long>(hash));
    return text;
}

std::string name_of(std::string_view device) {
    const auto [backend, which] = split(device);
    if (backend == "cpu") return steps_of(which).name;
    if (backend == "cuda") return found(cuda::devices(), device, ordinal(device, which));
    if (backend == "vulkan") return found(vulkan::devices(), device, ordinal(device, which));
    refuse(device);
}

}  // namespace

std::uint64_t hash(std::string_view device, const HashRange& range) {
    name_of(device);  // refuses what is not here
    const auto [backend, which] = split(device);
    if (backend == "cpu") return cpu_hash(steps_of(which), range);
    if (backend == "cuda") return cuda::hash(ordinal(device, which), range);
    return vulkan::hash(ordinal(device, which), range);
}

SelftestResult selftest(std::string_view device) {
    SelftestResult result{std::string(device), name_of(device), hash(device, kSelftestRange), {}};
    if (result.hash != kSelftestHash)
        result.reason = "the device does not do the exact arithmetic: its self-test gave " + hex(result.hash) +
                        ", expected " + hex(kSelftestHash);
    return result;
}

}  // namespace qwen3moe
