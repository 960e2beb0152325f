#include "backend/vulkan/weights.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "backend/layout.h"
#include "errors.h"

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint64_t kMostChunk = 32u << 20;  // that travels at a time
constexpr std::uint64_t kPiece = 1u << 30;       // of memory, unless a tensor is larger

std::uint64_t blocks_of(const gguf::Tensor& t) { return t.data.size() / info(t.type).bytes; }

std::uint64_t plane_units(std::uint64_t bytes) { return (bytes + QM_PLANE_UNIT - 1) / QM_PLANE_UNIT; }

// Where each plane begins, and the last one ends, in units of QM_PLANE_UNIT bytes.
std::array<std::uint64_t, 5> planes_of(const gguf::Tensor& t) {
    std::array<std::uint64_t, 5> starts{};
    for (std::size_t i = 0; i < 4; i++)
        starts[i + 1] = starts[i] + plane_units(blocks_of(t) * gpu::layout(t.type).fields[i].bytes);
    return starts;
}

// The file's bytes pass through as many chunks as the stream has pieces of work: one is filled while others travel.
class Uploader {
  public:
    Uploader(const std::shared_ptr<Device>& device, Stream& stream, const Poll& poll, std::uint64_t chunk)
        : stream_(stream), poll_(poll), chunk_(chunk) {
        for (auto& lane : lanes_) lane = std::make_unique<Lane>(device, chunk);
    }
    ~Uploader() { stream_.abandon(); }  // where it was interrupted, chunks may still travel
    Uploader(const Uploader&) = delete;
    Uploader& operator=(const Uploader&) = delete;

    void upload(const gguf::Tensor& tensor, VkDeviceAddress to) {
        const std::uint32_t block_bytes = info(tensor.type).bytes;
        const std::uint64_t most = chunk_ / block_bytes / 2 * 2;  // so that each chunk's planes begin with a word
        const std::uint64_t blocks = blocks_of(tensor);
        for (std::uint64_t first = 0; first < blocks; first += most) {
            const std::uint64_t count = std::min(most, blocks - first);
            const Lane& lane = *lanes_[next_++ % Stream::kPieces];
            if (poll_) poll_();
            Recording& work = stream_.recording(poll_);  // the piece that had this lane is done
            std::memcpy(lane.host.as<std::byte>(), tensor.data.data() + first * block_bytes, count * block_bytes);
            work.copy(lane.host.part(0, count * block_bytes), lane.device.all());
            take_fields(work, tensor, lane, first, count, to);
            stream_.submit();
        }
    }

  private:
    struct Lane {
        Lane(const std::shared_ptr<Device>& on, std::uint64_t bytes)
            : host(on, bytes, Where::host_to_device), device(on, bytes, Where::device) {}
        Buffer host, device;
    };

    static void take_fields(Recording& work, const gguf::Tensor& tensor, const Lane& lane, std::uint64_t first,
                            std::uint64_t count, VkDeviceAddress to) {
        const auto starts = planes_of(tensor);
        for (std::size_t i = 0; i < 4; i++) {
            const gpu::Field& field = gpu::layout(tensor.type).fields[i];
            if (field.bytes == 0) continue;
            const auto halves = static_cast<std::uint32_t>(count * (field.bytes / 2));
            const FieldParams params{address_of(to + starts[i] * QM_PLANE_UNIT + first * field.bytes), halves,
                                     info(tensor.type).bytes / 2, field.offset / 2, field.bytes / 2};
            work.dispatch({Shader::layout}, {in(lane.device.all())}, params, {(halves + 511) / 512});
        }
    }

    Stream& stream_;
    const Poll& poll_;
    std::uint64_t chunk_;
    std::unique_ptr<Lane> lanes_[Stream::kPieces];
    unsigned next_ = 0;
};

}  // namespace

DeviceWeights::DeviceWeights(std::shared_ptr<Device> device, const qwen3moe::Weights& w) : device_(std::move(device)) {
    std::vector<const gguf::Tensor*> tensors = {w.embedding, w.output_norm};
    if (w.head != w.embedding) tensors.push_back(w.head);
    for (const LayerWeights& l : w.layers)
        for (const gguf::Tensor* t :
             {l.attn_norm, l.q, l.k, l.v, l.q_norm, l.k_norm, l.output, l.ffn_norm, l.router, l.gate, l.up, l.down})
            tensors.push_back(t);
    const std::uint64_t most = device_->limits().allocation;
    for (const gguf::Tensor* t : tensors) {
        const std::uint64_t bytes = planes_of(*t)[4] * QM_PLANE_UNIT;
        if (bytes > most)
            throw OutOfMemoryError("tensor " + std::string(t->name) + " needs " + std::to_string(bytes) +
                                   " bytes in one piece; the device gives at most " + std::to_string(most));
        if (piece_bytes_.empty() || piece_bytes_.back() + bytes > std::min(kPiece, most)) piece_bytes_.push_back(0);
        places_.push_back({t, piece_bytes_.size() - 1, piece_bytes_.back()});
        piece_bytes_.back() += bytes;
        chunk_ = std::max(chunk_, std::min(bytes, kMostChunk));
    }
}

std::uint64_t DeviceWeights::bytes() const {
    std::uint64_t sum = Stream::kPieces * chunk_;
    for (const std::uint64_t bytes : piece_bytes_) sum += bytes;
    return sum;
}

void DeviceWeights::upload(Stream& stream, const Poll& poll) {
    for (const std::uint64_t bytes : piece_bytes_)
        pieces_.push_back(std::make_unique<Buffer>(device_, bytes, Where::device));
    Uploader uploader(device_, stream, poll, chunk_);
    for (const Place& place : places_) {
        const VkDeviceAddress to = pieces_[place.piece]->address() + place.offset;
        const auto starts = planes_of(*place.tensor);
        const auto unit = [&](std::size_t i) { return static_cast<uint>(starts[i]); };
        placed_[place.tensor] = {{address_of(to), unit(1), unit(2), unit(3)},
                                 static_cast<std::uint32_t>(place.tensor->type),
                                 static_cast<std::uint32_t>(place.tensor->shape[0])};
        uploader.upload(*place.tensor, to);
    }
    stream.finish(poll);
}

}  // namespace qwen3moe::vulkan
