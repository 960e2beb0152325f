#include "backend/opener.h"

#include <unistd.h>

#include <string>

#include "errors.h"

namespace qwen3moe {

bool Opener::here() {
    pid_t found = 0;
    const pid_t self = getpid();
    return process_.compare_exchange_strong(found, self) || found == self;
}

void Opener::require_here() {
    if (!here())
        throw DeviceError(std::string(driver_) + " was opened in process " + std::to_string(process_.load()) +
                          ", and this is its fork " + std::to_string(getpid()) +
                          ", which cannot use it; open the model in the child, or start it with spawn");
}

}  // namespace qwen3moe
