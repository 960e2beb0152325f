#include "mutate.h"

#include <cstring>
#include <memory>
#include <random>
#include <span>

#include "errors.h"
#include "gguf/file.h"

namespace qwen3moe::fuzz {
namespace {

using Random = std::minstd_rand;

constexpr std::uint64_t kNumbers[] = {0,        1,           2,          7,          31,         32,         64,
                                      128,      255,         256,        257,        4096,       0xffff,     1u << 24,
                                      1u << 31, 0xffffffffu, 1ull << 32, 1ull << 61, 1ull << 63, ~0ull - 31, ~0ull};

std::uint64_t pick(Random& random, std::uint64_t below) { return below ? random() % below : 0; }

// A number of `width` bytes becomes a telling one, or one near it, or has a bit turned.
void change_number(std::uint8_t* at, std::size_t width, Random& random) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, width);
    switch (pick(random, 4)) {
        case 0:
            value = kNumbers[pick(random, std::size(kNumbers))];
            break;
        case 1:
            value += pick(random, 9) - 4;
            break;
        case 2:
            value ^= std::uint64_t{1} << pick(random, 8 * width);
            break;
        default:
            value = pick(random, 2) ? value * 2 : value / 2;
    }
    std::memcpy(at, &value, width);
}

class Mutation {
  public:
    Mutation(std::uint8_t* data, std::size_t size, const gguf::File& file, Random& random)
        : data_(data), size_(size), file_(file), random_(random) {}

    bool any() {
        switch (pick(random_, 4)) {
            case 0:
                return metadata();
            case 1:
                return description();
            case 2:
                return names();
            default:
                return contents();
        }
    }

  private:
    std::uint8_t* after(std::string_view text) {
        return data_ + (reinterpret_cast<const std::uint8_t*>(text.data()) - data_) + text.size();
    }
    bool inside(const std::uint8_t* at, std::size_t width) const { return at >= data_ && at + width <= data_ + size_; }

    bool metadata() {
        if (file_.metadata().empty()) return false;
        const gguf::Entry& entry = file_.metadata()[pick(random_, file_.metadata().size())];
        std::uint8_t* const type = name_in_file(entry.key);
        const std::uint32_t width = gguf::value_bytes(entry.number);
        if (!type || !inside(type, 4 + width)) return false;
        if (width == 0 || pick(random_, 16) == 0)
            change_number(type, 4, random_);
        else
            change_number(type + 4, width, random_);
        return true;
    }

    bool description() {
        if (file_.tensors().empty()) return false;
        const gguf::Tensor& tensor = file_.tensors()[pick(random_, file_.tensors().size())];
        std::uint8_t* const rank = name_in_file(tensor.name);
        const std::size_t shape = 8 * std::size_t{tensor.rank};
        if (!rank || !inside(rank, 4 + shape + 12)) return false;
        switch (pick(random_, 4)) {
            case 0:
                change_number(rank, 4, random_);
                break;
            case 1:
                change_number(rank + 4 + 8 * pick(random_, tensor.rank), 8, random_);
                break;
            case 2:
                change_number(rank + 4 + shape, 4, random_);
                break;
            default:
                change_number(rank + 4 + shape + 4, 8, random_);
        }
        return true;
    }

    // Two tensors of names of one length change their names.
    bool names() {
        const auto tensors = file_.tensors();
        if (tensors.size() < 2) return false;
        const gguf::Tensor& a = tensors[pick(random_, tensors.size())];
        const gguf::Tensor& b = tensors[pick(random_, tensors.size())];
        std::uint8_t* const x = name_in_file(a.name);
        std::uint8_t* const y = name_in_file(b.name);
        if (!x || !y || x == y || a.name.size() != b.name.size()) return false;
        for (std::size_t i = 1; i <= a.name.size(); i++) std::swap(x[-std::ptrdiff_t(i)], y[-std::ptrdiff_t(i)]);
        return true;
    }

    bool contents() {
        if (file_.tensors().empty()) return false;
        const gguf::Tensor& tensor = file_.tensors()[pick(random_, file_.tensors().size())];
        std::uint8_t* const first = data_ + tensor.offset;
        constexpr std::size_t kWidths[] = {1, 2, 4, 8};
        for (std::uint64_t count = 1 + pick(random_, 8); count > 0; count--) {
            const std::size_t width = kWidths[pick(random_, 4)];
            if (tensor.data.size() < width) return false;
            change_number(first + pick(random_, tensor.data.size() - width + 1), width, random_);
        }
        return true;
    }

    // The reader keeps names of its own; in the file they are found by their text. The first byte behind it.
    std::uint8_t* name_in_file(std::string_view name) {
        void* const found = memmem(data_, size_, name.data(), name.size());
        return found ? static_cast<std::uint8_t*>(found) + name.size() : nullptr;
    }

    std::uint8_t* data_;
    std::size_t size_;
    const gguf::File& file_;
    Random& random_;
};

}  // namespace

std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
    Random random(seed);
    if (pick(random, 8) != 0) {
        try {
            const auto file = gguf::File::view(std::as_bytes(std::span(data, size)), "input");
            if (Mutation(data, size, *file, random).any()) return size;
        } catch (const Error&) {
        }
    }
    return LLVMFuzzerMutate(data, size, max_size);
}

}  // namespace qwen3moe::fuzz
