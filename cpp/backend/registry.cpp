#include "backend/registry.h"

#include "backend/cpu.h"
#include "backend/cpu_steps.h"
#include "backend/cuda.h"
#include "backend/pool.h"
#include "backend/selftest.h"
#include "backend/vulkan.h"
#include "errors.h"

namespace qwen3moe {

namespace {

void add(std::vector<Device>& list, const std::string& kind, const Devices& found) {
    if (found.names.empty()) list.push_back({kind, false, found.reason});
    for (std::size_t i = 0; i < found.names.size(); i++)
        list.push_back(
            {kind + ":" + std::to_string(i), true, found.names[i], !found.software.empty() && found.software[i]});
}

// A device whose arithmetic is off by a bit would give logits that are nearly right.
void require_selftest(const std::string& device) {
    const SelftestResult result = selftest(device);
    if (!result.ok()) throw DeviceError("device '" + device + "' is refused: " + result.reason);
}

}  // namespace

std::vector<Device> devices() {
    std::vector<Device> list{{"cpu", true, std::to_string(usable_processors()) + " threads, " + cpu_steps().name}};
    add(list, "cuda", cuda::devices());
    add(list, "vulkan", vulkan::devices());
    return list;
}

namespace {

// Rows of a batch if nobody says: on a big GPU a prompt should read every expert's weights as seldom as its memory
// allows.
std::uint32_t usual_batch(const std::string& backend) { return backend == "cuda" ? 2048 : 512; }

}  // namespace

std::unique_ptr<Executor> open_device(const std::string& name, const Config& config, const Weights& weights,
                                      const OpenOptions& options) {
    const std::string backend = name.substr(0, name.find(':'));
    const std::uint32_t batch = options.batch.value_or(usual_batch(backend));
    if (name == "cpu") {
        require_selftest(std::string("cpu:") + cpu_steps().name);
        return open_cpu(config, {options.threads, batch});
    }
    std::string known;
    for (const Device& device : devices()) {
        if (device.name == name && device.available) {
            require_selftest(name);
            const auto open = backend == "cuda" ? cuda::open : vulkan::open;
            return open(static_cast<std::uint32_t>(std::stoul(name.substr(backend.size() + 1))), config, weights, batch,
                        options.poll);
        }
        if (device.name == name) throw BackendUnavailableError("device '" + name + "': " + device.description);
        known += (known.empty() ? "" : ", ") + device.name;
    }
    throw BackendUnavailableError("there is no device '" + name + "'; known are " + known);
}

}  // namespace qwen3moe
