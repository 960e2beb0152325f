// A model opened on one device: the file, what it says, its weights, the plan, and the executor that runs it.
// Immutable, and shared by any number of sessions and threads.
#pragma once

#include <memory>
#include <string>

#include "backend/registry.h"

namespace qwen3moe {

struct Model {
    std::string device;
    std::shared_ptr<const gguf::File> file;
    Config config;
    Weights weights;  // views into `file`
    Plan plan;        // names `weights`
    std::unique_ptr<Executor> executor;
};

std::shared_ptr<const Model> open_model(const std::string& path, const std::string& device, const OpenOptions& options);

}  // namespace qwen3moe
