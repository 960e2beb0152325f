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

void Writer::add(const Entry& entry) {
    const auto scalar = [&]<class T>(T) {
        if (const auto* number = std::get_if<std::uint64_t>(&entry.value))
            add(entry.key, static_cast<T>(*number));
        else if (const auto* whole = std::get_if<std::int64_t>(&entry.value))
            add(entry.key, static_cast<T>(*whole));
        else
            add(entry.key, static_cast<T>(std::get<double>(entry.value)));
    };
    switch (entry.number) {
        case kUint8:
            return scalar(std::uint8_t{});
        case kInt8:
            return scalar(std::int8_t{});
        case kUint16:
            return scalar(std::uint16_t{});
        case kInt16:
            return scalar(std::int16_t{});
        case kUint32:
            return scalar(std::uint32_t{});
        case kInt32:
            return scalar(std::int32_t{});
        case kUint64:
            return scalar(std::uint64_t{});
        case kInt64:
            return scalar(std::int64_t{});
        case kFloat32:
            return scalar(float{});
        case kFloat64:
            return scalar(double{});
        case kBool:
            return add(entry.key, std::get<bool>(entry.value));
        case kString:
            return add(entry.key, std::get<std::string_view>(entry.value));
        default:
            break;
    }
    const Array& array = std::get<Array>(entry.value);
    begin_entry(entry.key, kArray);
    append(metadata_, array.element_type);
    append(metadata_, array.length);
    metadata_.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
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
