#include "backend/cuda/weights.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "cuda/layout.h"

namespace qwen3moe::cuda {
namespace {

constexpr std::uint64_t kChunk = 32u << 20;

std::uint64_t blocks_of(const gguf::Tensor& t) { return t.data.size() / info(t.type).bytes; }

std::uint32_t row_blocks(const gguf::Tensor& t) { return static_cast<std::uint32_t>(t.shape[0]) / info(t.type).block; }

// The file's bytes pass through two pinned chunks: one is filled while the other travels.
class Uploader {
  public:
    Uploader(cudaStream_t stream, const Poll& poll) : stream_(stream), poll_(poll) {}

    void upload(const gguf::Tensor& tensor, const Weight& to) {
        const std::uint32_t block_bytes = info(tensor.type).bytes;
        const std::uint64_t most = kChunk / block_bytes;
        const std::uint64_t blocks = blocks_of(tensor);
        for (std::uint64_t first = 0; first < blocks; first += most) {
            Lane& lane = lanes_[next_++ % 2];
            const std::uint64_t count = std::min(most, blocks - first);
            const std::size_t bytes = count * block_bytes;
            if (poll_) poll_();
            lane.sent.wait("uploading weights");
            std::memcpy(lane.host.as<std::byte>(), tensor.data.data() + first * block_bytes, bytes);
            check(cudaMemcpyAsync(lane.device.get(), lane.host.as<void>(), bytes, cudaMemcpyHostToDevice, stream_),
                  "uploading weights");
            const Layout& fields = layout(tensor.type);
            for (int i = 0; i < 4 && fields.fields[i].bytes; i++)
                check(take_field(static_cast<const std::uint8_t*>(lane.device.get()), block_bytes, fields.fields[i],
                                 first, count, Placing(fields.fields[i], row_blocks(tensor)),
                                 const_cast<std::uint8_t*>(to.plane[i]), stream_),
                      "laying out weights");
            lane.sent.record(stream_);
        }
    }

  private:
    struct Lane {
        Pinned host{kChunk};
        Memory device{kChunk};
        Event sent;
    };
    cudaStream_t stream_;
    const Poll& poll_;
    Lane lanes_[2];
    unsigned next_ = 0;
};

}  // namespace

DeviceWeights::DeviceWeights(const qwen3moe::Weights& w) {
    tensors_ = {w.embedding, w.output_norm};
    if (w.head != w.embedding) tensors_.push_back(w.head);
    for (const LayerWeights& l : w.layers)
        for (const gguf::Tensor* t :
             {l.attn_norm, l.q, l.k, l.v, l.q_norm, l.k_norm, l.output, l.ffn_norm, l.router, l.gate, l.up, l.down})
            tensors_.push_back(t);
    bytes_ = place(nullptr) + 2 * kChunk;
}

std::uint64_t DeviceWeights::place(std::byte* base) {
    Arena arena(base);
    for (const gguf::Tensor* t : tensors_) {
        Weight weight{{}, {}, {}, static_cast<uint>(t->type), static_cast<uint>(t->shape[0])};
        const Layout& fields = layout(t->type);
        for (int i = 0; i < 4 && fields.fields[i].bytes; i++) {
            std::uint8_t* plane = nullptr;
            arena.take(plane, blocks_of(*t) * fields.fields[i].bytes);
            weight.plane[i] = plane;
            const Placing placing(fields.fields[i], row_blocks(*t));
            weight.row_bytes[i] = placing.row_bytes;
            weight.turn[i] = placing.turn;
        }
        placed_[t] = weight;
    }
    return arena.bytes();
}

void DeviceWeights::upload(cudaStream_t stream, const Poll& poll) {
    memory_ = std::make_unique<Memory>(bytes_ - 2 * kChunk);
    place(static_cast<std::byte*>(memory_->get()));
    Uploader uploader(stream, poll);
    for (const gguf::Tensor* t : tensors_) uploader.upload(*t, placed_.at(t));
    check(cudaStreamSynchronize(stream), "uploading weights");
}

}  // namespace qwen3moe::cuda
