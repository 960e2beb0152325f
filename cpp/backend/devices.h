// The devices a back end finds on this machine, in its own order.
#pragma once

#include <string>
#include <vector>

namespace qwen3moe {

struct Devices {
    std::vector<std::string> names;
    std::string reason;  // why there are none
};

}  // namespace qwen3moe
