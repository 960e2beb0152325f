// The devices a back end finds on this machine, in its own order.
#pragma once

#include <string>
#include <vector>

namespace qwen3moe {

struct Devices {
    std::vector<std::string> names;
    std::string reason;               // why there are none
    std::vector<bool> software = {};  // by device: a processor that plays a GPU; empty: none is
};

}  // namespace qwen3moe
