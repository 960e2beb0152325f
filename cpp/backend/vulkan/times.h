// How long a device works on what: with QWEN3MOE_VULKAN_TIMES=1 a table on stderr when the process ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/vulkan/device.h"

namespace qwen3moe::vulkan {

// Of one recording. Work between two barriers counts as one, with the barrier before it.
class Times {
  public:
    static std::unique_ptr<Times> if_wanted(std::shared_ptr<Device>);

    explicit Times(std::shared_ptr<Device>);

    void begin(VkCommandBuffer);
    void work(const std::string& what) { since_mark_ += (since_mark_.empty() ? "" : " + ") + what; }
    void mark(VkCommandBuffer);  // the end of what was named since the last mark
    void add() const;            // the work is done: its times go to the table

  private:
    std::shared_ptr<Device> device_;
    Owned<VkQueryPool> queries_;
    std::string since_mark_;
    std::vector<std::string> marks_;  // what ends at each, the first aside
};

}  // namespace qwen3moe::vulkan
