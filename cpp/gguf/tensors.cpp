#include "gguf/tensors.h"

#include <algorithm>
#include <limits>
#include <string>

#include "gguf/refusal.h"

namespace qwen3moe::gguf {
namespace {

constexpr std::uint64_t kLongestName = 64;
constexpr std::uint32_t kHighestRank = 4;

std::string place_of(const Tensor& tensor) { return "tensor " + quoted(tensor.name); }

std::string types_read() {
    std::string names;
    for (const TypeInfo& type : kTypes) names += (names.empty() ? "" : ", ") + std::string(type.name);
    return names;
}

void read_shape(Cursor& cursor, Tensor& tensor) {
    tensor.rank = cursor.scalar<std::uint32_t>("its rank");
    if (tensor.rank == 0 || tensor.rank > kHighestRank)
        cursor.refuse("a rank of " + std::to_string(tensor.rank), "1 to " + std::to_string(kHighestRank));
    std::fill(std::begin(tensor.shape), std::end(tensor.shape), 1);
    for (std::uint32_t i = 0; i < tensor.rank; ++i) {
        tensor.shape[i] = cursor.scalar<std::uint64_t>("its shape");
        if (tensor.shape[i] == 0) cursor.refuse("a dimension of 0", "at least 1");
    }
}

void read_type(Cursor& cursor, Tensor& tensor) {
    const auto number = cursor.scalar<std::uint32_t>("its type");
    const TypeInfo* const type = find_type(number);
    if (!type) {
        const std::string found = std::string(type_name(number)) + " (type " + std::to_string(number) + ")";
        cursor.refuse(found, "one of " + types_read() + ": quantise the model anew to one of them");
    }
    tensor.type = type->type;
    if (tensor.shape[0] % type->block != 0)
        cursor.refuse(std::string(type->name) + " with rows of " + std::to_string(tensor.shape[0]),
                      "rows that are a multiple of its block of " + std::to_string(type->block));
}

// The product that everything about the data rests on, so it is the one that must not wrap.
std::uint64_t data_bytes(const Cursor& cursor, const Tensor& tensor) {
    const TypeInfo& type = info(tensor.type);
    std::uint64_t bytes = type.bytes;
    for (const std::uint64_t factor :
         {tensor.shape[0] / type.block, tensor.shape[1], tensor.shape[2], tensor.shape[3]}) {
        if (bytes > std::numeric_limits<std::uint64_t>::max() / factor)
            cursor.refuse("a shape of more than 2^64 bytes", "one that fits the file");
        bytes *= factor;
    }
    return bytes;
}

// Where a tensor's data lies, once the end of the descriptions is known.
struct Extent {
    std::uint64_t offset;  // from the start of all data
    std::uint64_t bytes;
};

Extent read_extent(Cursor& cursor, const Tensor& tensor, std::uint64_t alignment) {
    const std::uint64_t bytes = data_bytes(cursor, tensor);
    const auto offset = cursor.scalar<std::uint64_t>("its offset");
    if (offset % alignment != 0)
        cursor.refuse("an offset of " + std::to_string(offset),
                      "a multiple of the alignment, " + std::to_string(alignment));
    return {offset, bytes};
}

void refuse_overlaps(const Cursor& cursor, const std::vector<Tensor>& tensors) {
    std::vector<const Tensor*> order;
    for (const Tensor& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const Tensor& before = *order[i - 1];
        const Tensor& after = *order[i];
        if (before.offset + before.data.size() > after.offset)
            refuse(cursor.path(), place_of(after),
                   "data at byte " + std::to_string(after.offset) + " that overlaps " + place_of(before),
                   "data of its own");
    }
}

}  // namespace

std::vector<Tensor> read_tensors(Cursor& cursor, std::uint64_t count, std::uint64_t alignment,
                                 std::span<const std::byte> bytes, Names& names) {
    std::vector<Tensor> tensors;
    std::vector<Extent> extents;
    for (std::uint64_t i = 0; i < count; ++i) {
        cursor.enter("tensor " + std::to_string(i));
        const std::string_view name = cursor.name("its name", kLongestName);
        const auto kept = names.add(name, tensors.size());
        if (!kept) cursor.refuse(quoted(name) + " again", "a name that is given once");
        Tensor& tensor = tensors.emplace_back();
        tensor.name = *kept;
        cursor.enter(place_of(tensor));
        read_shape(cursor, tensor);
        read_type(cursor, tensor);
        extents.push_back(read_extent(cursor, tensor, alignment));
    }

    const std::uint64_t start = (cursor.offset() + alignment - 1) / alignment * alignment;
    const std::uint64_t available = bytes.size() - std::min<std::uint64_t>(start, bytes.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const Extent& extent = extents[i];
        if (extent.bytes > available || extent.offset > available - extent.bytes)
            refuse(cursor.path(), place_of(tensors[i]),
                   std::to_string(extent.bytes) + " bytes of data at offset " + std::to_string(extent.offset),
                   "an end within the " + std::to_string(available) +
                       " bytes of data that the file holds: it is cut short or damaged, copy it again");
        tensors[i].offset = start + extent.offset;
        tensors[i].data =
            bytes.subspan(static_cast<std::size_t>(tensors[i].offset), static_cast<std::size_t>(extent.bytes));
    }
    refuse_overlaps(cursor, tensors);
    return tensors;
}

}  // namespace qwen3moe::gguf
