#include "gguf/writer.h"

#include <bit>

namespace qwen3moe::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is little-endian, and values are written as they lie");

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kAlignment = 32;  // of each tensor's data: the format's default

constexpr std::uint64_t aligned(std::uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

std::uint64_t data_bytes(Type type, std::span<const std::uint64_t> shape) {
    std::uint64_t bytes = info(type).bytes;
    for (const std::uint64_t dimension : shape) bytes *= dimension;
    return bytes / info(type).block;
}

void Writer::begin_entry(std::string_view key, ValueType type) {
    append(metadata_, key);
    append<std::uint32_t>(metadata_, type);
    ++entries_;
}

std::size_t Writer::add_tensor(std::string_view name, Type type, std::span<const std::uint64_t> shape) {
    append(tensors_, name);
    append(tensors_, static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t dimension : shape) append(tensors_, dimension);
    append(tensors_, static_cast<std::uint32_t>(type));
    append(tensors_, data_bytes_);
    offsets_.push_back(data_bytes_);
    data_bytes_ = aligned(data_bytes_ + data_bytes(type, shape));
    return offsets_.size() - 1;
}

std::string Writer::head() const {
    std::string head = "GGUF";
    append(head, kVersion);
    append<std::uint64_t>(head, offsets_.size());
    append(head, entries_);
    return head + metadata_ + tensors_;
}

Output::Output(const Writer& writer, const std::string& path) : Output(writer, path, writer.head()) {}

Output::Output(const Writer& writer, const std::string& path, const std::string& head)
    : start_(aligned(head.size())), offsets_(writer.offsets_), file_(path, start_ + writer.data_bytes_) {
    file_.write(0, std::as_bytes(std::span(head)));
}

}  // namespace qwen3moe::gguf
