#include "backend/registry.h"

#include "backend/cpu.h"
#include "backend/cpu_steps.h"
#include "backend/pool.h"
#include "errors.h"

namespace qwen3moe {

std::vector<Device> devices() {
    return {{"cpu", true, std::to_string(usable_processors()) + " threads, " + cpu_steps().name}};
}

std::unique_ptr<Executor> open_device(const std::string& name, const Config& config, const OpenOptions& options) {
    if (name == "cpu") return open_cpu(config, {options.threads, options.batch});
    std::string known;
    for (const Device& device : devices()) known += (known.empty() ? "" : ", ") + device.name;
    throw BackendUnavailableError("device '" + name + "' is not here; there is " + known);
}

}  // namespace qwen3moe
