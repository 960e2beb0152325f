// Any bytes at all: either refused with a GGUFError, or a file that keeps every promise of gguf/file.h.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "errors.h"
#include "gguf/cursor.h"
#include "gguf/file.h"
#include "gguf/metadata.h"

using namespace qwen3moe;
using namespace qwen3moe::gguf;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

bool inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
    return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Whether a getter answers; a refusal is the only other outcome.
template <class Getter>
bool answers(const Getter& getter) {
    try {
        getter();
        return true;
    } catch (const GGUFError&) {
        return false;
    }
}

void check_array(const Array& array, std::span<const std::byte> bytes) {
    require(inside(array.data, bytes));
    const std::string path = "array";
    Cursor cursor(array.data, path, "array");
    for (std::uint64_t i = 0; i < array.length; ++i) read_value(cursor, array.element_type);
    require(cursor.left() == 0);
}

void check_getters(const File& file, const Entry& entry) {
    const std::int64_t* const integer = std::get_if<std::int64_t>(&entry.value);
    const bool natural = std::holds_alternative<std::uint64_t>(entry.value) || (integer && *integer >= 0);
    require(answers([&] { file.unsigned_of(entry.key); }) == natural);
    require(answers([&] { file.number_of(entry.key); }) == std::holds_alternative<double>(entry.value));
    require(answers([&] { file.string_of(entry.key); }) == std::holds_alternative<std::string_view>(entry.value));
    require(answers([&] { file.bool_of(entry.key); }) == std::holds_alternative<bool>(entry.value));
}

void check_tensors(const File& file, std::span<const std::byte> bytes) {
    std::vector<std::span<const std::byte>> extents;
    for (const Tensor& tensor : file.tensors()) {
        require(file.tensor(tensor.name) == &tensor);
        require(!tensor.data.empty() && inside(tensor.data, bytes));
        require(tensor.data.size() == tensor.rows() * tensor.row_bytes());
        require(tensor.data.data() == bytes.data() + tensor.offset);
        extents.push_back(tensor.data);
    }
    std::sort(extents.begin(), extents.end(), [](auto a, auto b) { return a.data() < b.data(); });
    for (std::size_t i = 1; i < extents.size(); ++i)
        require(extents[i - 1].data() + extents[i - 1].size() <= extents[i].data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const auto file = File::view(bytes, "input");
        for (const Entry& entry : file->metadata()) {
            require(file->find(entry.key) == &entry);
            if (const Array* array = std::get_if<Array>(&entry.value)) check_array(*array, bytes);
            check_getters(*file, entry);
        }
        check_tensors(*file, bytes);
        if (!file->has("no.such.key")) {
            require(!answers([&] { file->unsigned_of("no.such.key"); }));
            require(file->unsigned_of("no.such.key", 3) == 3);
        }
    } catch (const GGUFError&) {
    }
    return 0;
}
