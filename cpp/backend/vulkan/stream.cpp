#include "backend/vulkan/stream.h"

#include <chrono>
#include <utility>

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint64_t kPollEvery = 10'000'000;         // ns
constexpr std::uint64_t kAbandonAfter = 60'000'000'000;  // ns: a device that has not answered then hangs

VkFence make_fence(VkDevice device) {
    VkFenceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    VkFence fence = VK_NULL_HANDLE;
    check(vkCreateFence(device, &info, nullptr, &fence), "making a fence");
    return fence;
}

VkCommandPool make_pool(const Device& device) {
    VkCommandPoolCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    info.queueFamilyIndex = device.family();
    VkCommandPool pool = VK_NULL_HANDLE;
    check(vkCreateCommandPool(device.handle(), &info, nullptr, &pool), "making a command pool");
    return pool;
}

}  // namespace

Stream::Piece::Piece(const std::shared_ptr<Device>& device, VkCommandPool pool, DescriptorSets& sets)
    : recording(device, pool, sets), fence(device->handle(), vkDestroyFence) {
    *fence.put() = make_fence(device->handle());
}

Stream::Stream(std::shared_ptr<Device> device)
    : device_(std::move(device)), sets_(device_), pool_(device_->handle(), vkDestroyCommandPool) {
    *pool_.put() = make_pool(*device_);
    for (auto& piece : pieces_) piece = std::make_unique<Piece>(device_, pool_.get(), sets_);
}

Stream::~Stream() {
    if (opened_here()) abandon();
}

Recording& Stream::recording(const Poll& poll) {
    Piece& piece = *pieces_[at_];
    if (!begun_) {
        wait(piece, poll);
        piece.recording.begin();
        begun_ = true;
    }
    return piece.recording;
}

void Stream::submit() {
    if (!begun_) return;
    Piece& piece = *pieces_[at_];
    begun_ = false;
    piece.recording.end();
    start(piece, piece.recording);
    at_ = (at_ + 1) % pieces_.size();
}

void Stream::finish(const Poll& poll) {
    submit();
    for (auto& piece : pieces_) wait(*piece, poll);
}

void Stream::run(const Recording& recording, const Poll& poll) {
    finish(poll);
    start(*pieces_[at_], recording);
    wait(*pieces_[at_], poll);
}

std::unique_ptr<Recording> Stream::make_recording() { return std::make_unique<Recording>(device_, pool_.get(), sets_); }

void Stream::start(Piece& piece, const Recording& recording) {
    piece.doing = doing_;
    device_->submit(recording.handle(), piece.fence.get(), piece.doing.c_str());
    piece.under_way = &recording;
}

// Short work ends while the thread is still awake.
void Stream::wait(Piece& piece, const Poll& poll) {
    using namespace std::chrono;
    if (!piece.under_way) return;
    const VkFence fence = piece.fence.get();
    const auto until = steady_clock::now() + nanoseconds(device_->limits().patience);
    bool done = device_->done(fence, 0, piece.doing.c_str());
    while (!done && steady_clock::now() < until) done = device_->done(fence, 0, piece.doing.c_str());
    while (!done) {
        done = device_->done(fence, kPollEvery, piece.doing.c_str());
        if (!done && poll) poll();
    }
    check(vkResetFences(device_->handle(), 1, &fence), "resetting a fence");
    std::exchange(piece.under_way, nullptr)->done();
}

void Stream::abandon() noexcept {
    if (begun_) vkEndCommandBuffer(pieces_[at_]->recording.handle());
    begun_ = false;
    for (auto& piece : pieces_) {
        if (!piece->under_way) continue;
        const VkFence fence = piece->fence.get();
        vkWaitForFences(device_->handle(), 1, &fence, VK_TRUE, kAbandonAfter);
        vkResetFences(device_->handle(), 1, &fence);
        piece->under_way = nullptr;
    }
}

}  // namespace qwen3moe::vulkan
