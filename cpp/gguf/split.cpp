// Models in several files: "<name>-00001-of-00003.gguf" and its siblings, each a GGUF file that knows its number.
#include <cinttypes>
#include <cstdio>
#include <string>
#include <utility>

#include "gguf/file.h"
#include "gguf/refusal.h"

namespace qwen3moe::gguf {
namespace {

constexpr std::string_view kNumber = "split.no";  // from 0
constexpr std::string_view kCount = "split.count";
constexpr std::string_view kTensors = "split.tensors.count";  // of all parts

constexpr std::uint64_t kMostParts = 65535;

std::string key_place(std::string_view key) { return "key " + quoted(key); }

// How the name of a part ends; parts are counted from 1 here.
std::string ending(std::uint64_t part, std::uint64_t count) {
    char text[64];
    std::snprintf(text, sizeof text, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", part, count);
    return text;
}

void require(const File& part, std::string_view key, std::uint64_t expected) {
    const std::uint64_t found = part.unsigned_of(key);
    if (found != expected) part.refuse(key_place(key), std::to_string(found), std::to_string(expected));
}

}  // namespace

// A count of 0 or 1 is what tools leave behind when they merge the parts into one file.
void File::check_lone() const {
    if (unsigned_of(kCount, 0) > 1) refuse(key_place(kCount), "a part of a split model", "a whole model");
    if (has(kNumber)) require(*this, kNumber, 0);
    if (has(kTensors)) require(*this, kTensors, tensors_.size());
}

void File::join_siblings() {
    const std::uint64_t count = unsigned_of(kCount, 0);
    if (count <= 1) return check_lone();
    if (count > kMostParts) refuse(key_place(kCount), std::to_string(count), "at most " + std::to_string(kMostParts));
    const std::uint64_t number = unsigned_of(kNumber);
    if (number >= count) refuse(key_place(kNumber), std::to_string(number), "less than " + std::to_string(count));

    const std::string own = ending(number + 1, count);
    if (!path_.ends_with(own))
        refuse("file name", "part " + std::to_string(number + 1) + " of " + std::to_string(count),
               "a name that ends in " + own + ", which leads to the other parts");
    const std::string stem = path_.substr(0, path_.size() - own.size());
    if (number != 0)
        refuse(key_place(kNumber), "part " + std::to_string(number + 1) + " of " + std::to_string(count),
               "part 1: open " + shown_path(stem + ending(1, count)));

    const std::uint64_t total = unsigned_of(kTensors);
    for (std::uint64_t part = 1; part < count; ++part) {
        const std::shared_ptr<File> sibling = open_one(stem + ending(part + 1, count));
        require(*sibling, kNumber, part);
        require(*sibling, kCount, count);
        require(*sibling, kTensors, total);
        join(sibling);
    }
    require(*this, kTensors, tensors_.size());
}

void File::join(std::shared_ptr<const File> sibling) {
    for (const Tensor& tensor : sibling->tensors_) {
        if (!tensor_names_.add(tensor.name, tensors_.size()))
            sibling->refuse("tensor " + quoted(tensor.name), "a tensor that an earlier part holds",
                            "a name that is given once");
        tensors_.push_back(tensor);
    }
    bytes_ += sibling->bytes_;
    siblings_.push_back(std::move(sibling));
}

}  // namespace qwen3moe::gguf
