// Work for a device in its order: recorded, submitted piece by piece, and awaited.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "backend/executor.h"
#include "backend/vulkan/recording.h"

namespace qwen3moe::vulkan {

class Stream {
  public:
    static constexpr std::size_t kPieces = 3;  // recorded or under way at a time

    explicit Stream(std::shared_ptr<Device>);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    void name(std::string doing) { doing_ = std::move(doing); }  // what is submitted from here on
    // What is being recorded; where nothing is, a piece is begun once its place is free.
    Recording& recording(const Poll&);
    void submit();             // what is being recorded
    void finish(const Poll&);  // submits, and waits for all that was
    void abandon() noexcept;   // drops what is being recorded and waits for what was submitted, without a poll

    // A recording of its own, to be submitted again and again.
    std::unique_ptr<Recording> make_recording();
    void run(const Recording&, const Poll&);  // waits for it

    DescriptorSets& sets() { return sets_; }

  private:
    struct Piece {
        Piece(const std::shared_ptr<Device>&, VkCommandPool, DescriptorSets&);

        Recording recording;
        Owned<VkFence> fence;
        std::string doing;
        const Recording* under_way = nullptr;
    };

    void start(Piece&, const Recording&);
    void wait(Piece&, const Poll&);

    std::shared_ptr<Device> device_;
    DescriptorSets sets_;
    Owned<VkCommandPool> pool_;
    std::array<std::unique_ptr<Piece>, kPieces> pieces_;  // taken in turn
    std::size_t at_ = 0;
    std::string doing_;
    bool begun_ = false;
};

}  // namespace qwen3moe::vulkan
