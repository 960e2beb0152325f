// The devices: which are here, and if not, why not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/executor.h"

namespace qwen3moe {

struct Device {
    std::string name;  // "cpu", "cuda:0", "vulkan:0"
    bool available;
    std::string description;  // what it is, or why it is not available
    bool software = false;    // a processor that plays a GPU: the CPU back end does better there
};

std::vector<Device> devices();

struct OpenOptions {
    unsigned threads = 0;  // of the CPU; 0: as many as the process may use
    std::optional<std::uint32_t> batch;
    Poll poll = {};  // called while weights travel to a device
};

// Throws BackendUnavailableError, saying why, and DeviceError when the device fails the arithmetic's self-test.
std::unique_ptr<Executor> open_device(const std::string& name, const Config& config, const Weights& weights,
                                      const OpenOptions& options);

}  // namespace qwen3moe
