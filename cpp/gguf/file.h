// A GGUF model on disk, validated and mapped: metadata as typed values, tensors as views into the mapping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/types.h"

namespace qwen3moe::gguf {

struct Array;
// Integers of every width widen to 64 bits; f32 widens to double. `number` in Entry keeps the file's own value type.
using Value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, Array>;

// Elements stay in the mapping; only their place is kept, so memory never grows with a claimed length.
struct Array {
    std::uint32_t element_type;  // GGUF value type number
    std::uint64_t length;
    std::span<const std::byte> data;  // the elements' bytes
};

struct Entry {
    std::string_view key;
    std::uint32_t number;  // GGUF value type number
    Value value;
};

struct Tensor {
    std::string_view name;
    Type type;
    std::uint32_t rank;
    std::uint64_t shape[4];           // fastest first, as in the file; 1 beyond rank
    std::span<const std::byte> data;  // rows of shape[0], each a whole number of blocks

    std::uint64_t rows() const { return shape[1] * shape[2] * shape[3]; }
    std::uint64_t row_bytes() const { return shape[0] / info(type).block * info(type).bytes; }
};

class File {
  public:
    // Opens a file, or the first of a split set and its siblings. Throws GGUFError or FileError.
    static std::shared_ptr<const File> open(const std::string& path);
    virtual ~File() = default;

    virtual const std::string& path() const = 0;
    virtual std::uint64_t bytes() const = 0;  // of all parts
    virtual std::uint32_t version() const = 0;
    virtual std::span<const Entry> metadata() const = 0;  // of the first part, in file order
    virtual std::span<const Tensor> tensors() const = 0;  // of all parts, in file order

    virtual const Entry* find(std::string_view key) const = 0;      // null where absent
    virtual const Tensor* tensor(std::string_view name) const = 0;  // null where absent

    // Throws GGUFError when the file shrank or failed under the mapping since it was opened. Call after reading
    // weights.
    virtual void check_intact() const = 0;

    // Throws a GGUFError that names this file, then what is told: the one voice of every refusal about content.
    [[noreturn]] virtual void refuse(const std::string& place, const std::string& found,
                                     const std::string& expected) const = 0;

    // Typed access; refuses with key, found and expected. The two-argument forms return the default where absent.
    std::uint64_t unsigned_of(std::string_view key) const;  // any integer type, not negative
    double number_of(std::string_view key) const;           // f32 or f64
    std::string_view string_of(std::string_view key) const;
    Array array_of(std::string_view key, std::uint32_t element_type) const;
    std::uint64_t unsigned_of(std::string_view key, std::uint64_t absent) const;
    double number_of(std::string_view key, double absent) const;
    std::string_view string_of(std::string_view key, std::string_view absent) const;
    bool bool_of(std::string_view key, bool absent) const;
    bool has(std::string_view key) const { return find(key) != nullptr; }
};

}  // namespace qwen3moe::gguf
