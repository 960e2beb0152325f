#include "gguf/file.h"

#include <bit>
#include <string>
#include <utility>

#include "gguf/cursor.h"
#include "gguf/mapping.h"
#include "gguf/metadata.h"
#include "gguf/refusal.h"
#include "gguf/tensors.h"

namespace qwen3moe::gguf {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;         // "GGUF"
constexpr std::uint32_t kSwappedMagic = 0x47475546;  // as a big-endian machine may write it
constexpr std::uint64_t kLeastEntry = 14;            // bytes: key length, key of 1, value type, value of 1
constexpr std::uint64_t kLeastTensor = 33;           // name length, name of 1, rank, one dimension, type, offset
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kLeastAlignment = 8;
constexpr std::uint64_t kMostAlignment = std::uint64_t{1} << 21;  // a large page

void read_magic(Cursor& cursor) {
    const auto magic = cursor.scalar<std::uint32_t>("magic");
    const std::string_view bytes(reinterpret_cast<const char*>(cursor.since(0).data()), sizeof magic);
    if (magic == kSwappedMagic) cursor.refuse(quoted(bytes) + ", a big-endian file", "a little-endian GGUF file");
    if (magic != kMagic) cursor.refuse(quoted(bytes), "\"GGUF\": this is no GGUF file");
}

std::uint32_t read_version(Cursor& cursor) {
    const auto version = cursor.scalar<std::uint32_t>("version");
    if (version != 0 && (version & 0xffff) == 0) cursor.refuse("a big-endian file", "a little-endian GGUF file");
    if (version != 2 && version != 3) cursor.refuse(std::to_string(version), "2 or 3");
    return version;
}

std::uint64_t read_count(Cursor& cursor, const char* what, std::uint64_t least_bytes) {
    const auto count = cursor.scalar<std::uint64_t>(what);
    if (count > cursor.left() / least_bytes)
        cursor.refuse(std::to_string(count), "at most " + std::to_string(cursor.left() / least_bytes) +
                                                 ", what the rest of the file can hold");
    return count;
}

std::uint64_t alignment_of(const File& file) {
    constexpr std::string_view key = "general.alignment";
    const Entry* const entry = file.find(key);
    if (!entry) return kDefaultAlignment;
    const std::string place = "key " + quoted(key);
    if (entry->number != kUint32) file.refuse(place, value_name(entry->number), value_name(kUint32));
    const std::uint64_t alignment = file.unsigned_of(key);
    if (!std::has_single_bit(alignment) || alignment < kLeastAlignment || alignment > kMostAlignment)
        file.refuse(place, std::to_string(alignment),
                    "a power of two from " + std::to_string(kLeastAlignment) + " to " + std::to_string(kMostAlignment));
    return alignment;
}

}  // namespace

File::File(const std::string& path, std::unique_ptr<const Mapping> mapping, std::span<const std::byte> bytes)
    : path_(path), mapping_(std::move(mapping)), bytes_(bytes.size()) {
    Cursor cursor(bytes, path_, "header");
    read_magic(cursor);
    version_ = read_version(cursor);
    const std::uint64_t tensors = read_count(cursor, "tensor count", kLeastTensor);
    const std::uint64_t entries = read_count(cursor, "metadata count", kLeastEntry);
    metadata_ = read_metadata(cursor, entries, keys_);
    tensors_ = read_tensors(cursor, tensors, alignment_of(*this), bytes, tensor_names_);
}

File::~File() = default;

std::shared_ptr<File> File::open_one(const std::string& path) {
    auto mapping = std::make_unique<const Mapping>(path);
    const std::span<const std::byte> bytes = mapping->bytes();
    return std::shared_ptr<File>(new File(path, std::move(mapping), bytes));
}

std::shared_ptr<const File> File::open(const std::string& path) {
    const std::shared_ptr<File> file = open_one(path);
    file->join_siblings();
    file->check_intact();
    return file;
}

std::shared_ptr<const File> File::view(std::span<const std::byte> bytes, const std::string& name) {
    const std::shared_ptr<const File> file(new File(name, nullptr, bytes));
    file->check_lone();
    return file;
}

const Entry* File::find(std::string_view key) const {
    const auto place = keys_.find(key);
    return place ? &metadata_[*place] : nullptr;
}

const Tensor* File::tensor(std::string_view name) const {
    const auto place = tensor_names_.find(name);
    return place ? &tensors_[*place] : nullptr;
}

void File::check_intact() const {
    if (mapping_) mapping_->check_intact();
    for (const auto& sibling : siblings_) sibling->check_intact();
}

void File::refuse(const std::string& place, const std::string& found, const std::string& expected) const {
    check_intact();  // a file that failed while it was read tells that first
    gguf::refuse(path_, place, found, expected);
}

}  // namespace qwen3moe::gguf
