// A GPU's driver belongs to the process that opened it: a forked one has the handles, and can neither use nor free
// them.
#pragma once

#include <sys/types.h>

#include <atomic>

namespace qwen3moe {

class Opener {
  public:
    explicit constexpr Opener(const char* driver) : driver_(driver) {}

    bool here();          // opened by this process, now if it was not yet
    void require_here();  // throws DeviceError

  private:
    const char* driver_;
    std::atomic<pid_t> process_{0};
};

}  // namespace qwen3moe
