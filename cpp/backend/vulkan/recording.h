// A command buffer being recorded: dispatches and copies, with a barrier before what depends on something since the
// last one, and nowhere else.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "backend/vulkan/memory.h"
#include "backend/vulkan/times.h"

namespace qwen3moe::vulkan {

// What a dispatch does with a region.
struct Use {
    Region region;
    bool writes;
};
inline Use in(const Region& region) { return {region, false}; }
inline Use out(const Region& region) { return {region, true}; }

// Regions that shaders reach by address: not bound, but waited for like the others. `which` tells them apart.
inline Region by_address(VkDeviceSize which) { return {VK_NULL_HANDLE, which, 1}; }

struct Groups {
    std::uint64_t x = 1, y = 1, z = 1;
};

// Descriptor sets, one for each list of regions that was ever bound.
class DescriptorSets {
  public:
    explicit DescriptorSets(std::shared_ptr<Device> device) : device_(std::move(device)) {}

    VkDescriptorSet find(const Pipeline&, const std::vector<Region>& bound);
    void clear();  // none is in use, and buffers that they name are to go

  private:
    using Key = std::vector<std::tuple<VkBuffer, VkDeviceSize, VkDeviceSize>>;

    VkDescriptorSet make(const Pipeline&, const std::vector<Region>& bound);

    std::shared_ptr<Device> device_;
    std::vector<Owned<VkDescriptorPool>> pools_;
    std::uint32_t left_ = 0;  // sets of the last pool
    std::map<Key, VkDescriptorSet> sets_;
};

class Recording {
  public:
    Recording(std::shared_ptr<Device>, VkCommandPool, DescriptorSets&);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    void begin();
    void end();
    void done() const;  // what was submitted
    VkCommandBuffer handle() const { return commands_; }
    const Style& style() const { return device_->style(); }
    // Workgroups that quantise so many blocks of 256.
    std::uint64_t quantising(std::uint64_t blocks) const;

    // Grids beyond the device's limits are cut: shaders whose grids may grow so large go around.
    template <class Constants>
    void dispatch(const PipelineKey& key, std::initializer_list<Use> uses, const Constants& constants, Groups groups) {
        static_assert(sizeof(Constants) <= kConstantBytes);
        dispatch(device_->pipeline(key), uses, &constants, sizeof(Constants), groups);
    }
    void copy(const Region& from, const Region& to);  // all of `from`
    void clear(const Region& region);                 // to zeros

  private:
    void dispatch(const Pipeline&, std::initializer_list<Use>, const void* constants, std::uint32_t bytes, Groups);
    void wait_for(std::initializer_list<Use> uses, VkPipelineStageFlags stage);
    void barrier(VkPipelineStageFlags to);

    std::shared_ptr<Device> device_;
    VkCommandPool pool_;
    DescriptorSets& sets_;
    VkCommandBuffer commands_ = VK_NULL_HANDLE;
    std::vector<Use> since_barrier_;
    VkPipelineStageFlags at_work_ = 0;  // since then
    VkPipelineStageFlags reached_ = 0;  // by that barrier
    std::unique_ptr<Times> times_;
};

}  // namespace qwen3moe::vulkan
