#include "backend/vulkan/times.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint32_t kQueries = 4096;  // of a recording; what comes after them is not timed

VkQueryPool make_pool(VkDevice device) {
    VkQueryPoolCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
    info.queryType = VK_QUERY_TYPE_TIMESTAMP;
    info.queryCount = kQueries;
    VkQueryPool pool = VK_NULL_HANDLE;
    check(vkCreateQueryPool(device, &info, nullptr, &pool), "making a query pool");
    return pool;
}

class Table {
  public:
    ~Table() {
        if (!opened_here()) return;
        std::fprintf(stderr, "%12s %10s %10s  %s\n", "total us", "times", "us", "Vulkan work");
        for (const auto& [what, sum] : sums_)
            std::fprintf(stderr, "%12.0f %10llu %10.2f  %s\n", sum.us, sum.count,
                         sum.us / static_cast<double>(sum.count), what.c_str());
    }
    void add(const std::string& what, double us) {
        const std::lock_guard turn(turn_);
        Sum& sum = sums_[what];
        sum.us += us;
        sum.count++;
    }

  private:
    struct Sum {
        double us = 0;
        unsigned long long count = 0;
    };
    std::mutex turn_;
    std::map<std::string, Sum> sums_;
};

Table& table() {
    static Table all;
    return all;
}

}  // namespace

std::unique_ptr<Times> Times::if_wanted(std::shared_ptr<Device> device) {
    if (!std::getenv("QWEN3MOE_VULKAN_TIMES")) return nullptr;
    return std::make_unique<Times>(std::move(device));
}

Times::Times(std::shared_ptr<Device> device)
    : device_(std::move(device)), queries_(device_->handle(), vkDestroyQueryPool) {
    *queries_.put() = make_pool(device_->handle());
}

void Times::begin(VkCommandBuffer commands) {
    marks_.clear();
    since_mark_.clear();
    vkCmdResetQueryPool(commands, queries_.get(), 0, kQueries);
    mark(commands);
}

void Times::mark(VkCommandBuffer commands) {
    if (marks_.size() == kQueries) return;
    vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_.get(),
                        static_cast<std::uint32_t>(marks_.size()));
    marks_.push_back(std::move(since_mark_));
    since_mark_.clear();
}

void Times::add() const {
    std::vector<std::uint64_t> ticks(marks_.size());
    check(vkGetQueryPoolResults(device_->handle(), queries_.get(), 0, static_cast<std::uint32_t>(ticks.size()),
                                ticks.size() * sizeof(ticks[0]), ticks.data(), sizeof(ticks[0]),
                                VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
          "reading times");
    const double us = device_->limits().tick / 1000;
    for (std::size_t i = 1; i < ticks.size(); i++)
        if (!marks_[i].empty()) table().add(marks_[i], static_cast<double>(ticks[i] - ticks[i - 1]) * us);
}

}  // namespace qwen3moe::vulkan
