#include "backend/vulkan/recording.h"

#include <algorithm>
#include <string>

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint32_t kSetsOfPool = 64;
constexpr std::uint32_t kMostBuffers = 10;  // that a shader has bound

bool overlap(const Region& a, const Region& b) {
    return a.buffer == b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

constexpr VkPipelineStageFlags kCompute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
constexpr VkPipelineStageFlags kTransfer = VK_PIPELINE_STAGE_TRANSFER_BIT;

}  // namespace

VkDescriptorSet DescriptorSets::find(const Pipeline& pipeline, const std::vector<Region>& bound) {
    Key key;
    for (const Region& r : bound) key.emplace_back(r.buffer, r.offset, r.bytes);
    VkDescriptorSet& set = sets_[key];
    if (set == VK_NULL_HANDLE) set = make(pipeline, bound);
    return set;
}

void DescriptorSets::clear() {
    sets_.clear();
    pools_.clear();
    left_ = 0;
}

VkDescriptorSet DescriptorSets::make(const Pipeline& pipeline, const std::vector<Region>& bound) {
    if (left_ == 0) {
        const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kSetsOfPool * kMostBuffers};
        VkDescriptorPoolCreateInfo pool{};
        pool.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
        pool.maxSets = kSetsOfPool;
        pool.poolSizeCount = 1;
        pool.pPoolSizes = &size;
        Owned<VkDescriptorPool> made(device_->handle(), vkDestroyDescriptorPool);
        check(vkCreateDescriptorPool(device_->handle(), &pool, nullptr, made.put()), "making a descriptor pool");
        pools_.push_back(std::move(made));
        left_ = kSetsOfPool;
    }
    left_--;
    const VkDescriptorSetLayout layout = pipeline.layout().set();
    VkDescriptorSetAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    info.descriptorPool = pools_.back().get();
    info.descriptorSetCount = 1;
    info.pSetLayouts = &layout;
    VkDescriptorSet set = VK_NULL_HANDLE;
    check(vkAllocateDescriptorSets(device_->handle(), &info, &set), "making a descriptor set");
    std::vector<VkDescriptorBufferInfo> buffers;
    for (const Region& r : bound) buffers.push_back({r.buffer, r.offset, r.bytes});
    VkWriteDescriptorSet write{};
    write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    write.dstSet = set;
    write.descriptorCount = static_cast<std::uint32_t>(buffers.size());  // goes on from binding 0 to the next
    write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    write.pBufferInfo = buffers.data();
    vkUpdateDescriptorSets(device_->handle(), 1, &write, 0, nullptr);
    return set;
}

Recording::Recording(std::shared_ptr<Device> device, VkCommandPool pool, DescriptorSets& sets)
    : device_(std::move(device)), pool_(pool), sets_(sets), times_(Times::if_wanted(device_)) {
    VkCommandBufferAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    info.commandPool = pool;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    check(vkAllocateCommandBuffers(device_->handle(), &info, &commands_), "making a command buffer");
}

Recording::~Recording() {
    if (opened_here()) vkFreeCommandBuffers(device_->handle(), pool_, 1, &commands_);
}

// What was submitted before comes first.
void Recording::begin() {
    VkCommandBufferBeginInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    check(vkBeginCommandBuffer(commands_, &info), "beginning a command buffer");
    since_barrier_.clear();
    at_work_ = kCompute | kTransfer;
    if (times_) times_->begin(commands_);
    barrier(kCompute | kTransfer);
}

// The host reads what was copied for it once the work is done.
void Recording::end() {
    barrier(VK_PIPELINE_STAGE_HOST_BIT);
    check(vkEndCommandBuffer(commands_), "ending a command buffer");
}

void Recording::done() const {
    if (times_) times_->add();
}

// From all since the last barrier, and through that one from all before, to all after in those stages.
void Recording::barrier(VkPipelineStageFlags to) {
    if (times_) times_->mark(commands_);
    VkMemoryBarrier memory{};
    memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    if (at_work_ & kCompute) memory.srcAccessMask |= VK_ACCESS_SHADER_WRITE_BIT;
    if (at_work_ & kTransfer) memory.srcAccessMask |= VK_ACCESS_TRANSFER_WRITE_BIT;
    if (to & kCompute) memory.dstAccessMask |= VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    if (to & kTransfer) memory.dstAccessMask |= VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    if (to & VK_PIPELINE_STAGE_HOST_BIT) memory.dstAccessMask |= VK_ACCESS_HOST_READ_BIT;
    vkCmdPipelineBarrier(commands_, at_work_, to, 0, 1, &memory, 0, nullptr, 0, nullptr);
    since_barrier_.clear();
    at_work_ = reached_ = to;
}

std::uint64_t Recording::quantising(std::uint64_t blocks) const {
    const std::uint32_t at_a_time = device_->style().threads / 64;
    return (blocks + at_a_time - 1) / at_a_time;
}

void Recording::wait_for(std::initializer_list<Use> uses, VkPipelineStageFlags stage) {
    const auto depends = [&](const Use& now) {
        return std::ranges::any_of(since_barrier_, [&](const Use& before) {
            return (now.writes || before.writes) && overlap(now.region, before.region);
        });
    };
    if (!(reached_ & stage) || std::ranges::any_of(uses, depends)) barrier(stage);
    since_barrier_.insert(since_barrier_.end(), uses.begin(), uses.end());
    at_work_ |= stage;
}

void Recording::dispatch(const Pipeline& pipeline, std::initializer_list<Use> uses, const void* constants,
                         std::uint32_t bytes, Groups groups) {
    wait_for(uses, kCompute);
    std::vector<Region> bound;
    for (const Use& use : uses)
        if (use.region.buffer != VK_NULL_HANDLE) bound.push_back(use.region);
    const VkDescriptorSet set = sets_.find(pipeline, bound);
    const VkPipelineLayout layout = pipeline.layout().handle();
    const std::uint32_t* most = device_->limits().groups;
    const auto within = [&](std::uint64_t wanted, int i) {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, most[i]));
    };
    vkCmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle());
    vkCmdBindDescriptorSets(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, nullptr);
    vkCmdPushConstants(commands_, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, bytes, constants);
    if (times_) times_->work(pipeline.name() + (" " + std::to_string(groups.x) + " " + std::to_string(groups.y)));
    vkCmdDispatch(commands_, within(groups.x, 0), within(groups.y, 1), within(groups.z, 2));
}

void Recording::copy(const Region& from, const Region& to) {
    wait_for({in(from), out({to.buffer, to.offset, from.bytes})}, kTransfer);
    if (times_) times_->work("copy");
    const VkBufferCopy all{from.offset, to.offset, from.bytes};
    vkCmdCopyBuffer(commands_, from.buffer, to.buffer, 1, &all);
}

void Recording::clear(const Region& region) {
    wait_for({out(region)}, kTransfer);
    vkCmdFillBuffer(commands_, region.buffer, region.offset, region.bytes, 0);
}

}  // namespace qwen3moe::vulkan
