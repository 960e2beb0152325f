// The CPU executor: walks the plan, shares each step's items among the threads of one pool.
#pragma once

#include <memory>

#include "backend/executor.h"

namespace qwen3moe {

struct CpuOptions {
    unsigned threads = 0;       // 0: as many as the process may use
    std::uint32_t batch = 512;  // rows
};

std::unique_ptr<Executor> open_cpu(const Config& config, const CpuOptions& options);

}  // namespace qwen3moe
