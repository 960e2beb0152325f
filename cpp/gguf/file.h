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

#include "gguf/names.h"
#include "gguf/types.h"
#include "gguf/values.h"

namespace qwen3moe::gguf {

class Mapping;

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
    std::uint64_t offset;             // of the data in its own part, from the part's first byte

    std::uint64_t rows() const { return shape[1] * shape[2] * shape[3]; }
    std::uint64_t row_bytes() const { return shape[0] / info(type).block * info(type).bytes; }
};

class File {
  public:
    // Opens a file, or the first of a split set and its siblings. Throws GGUFError or FileError.
    static std::shared_ptr<const File> open(const std::string& path);
    // A whole file that lies in memory, which must outlive the result. `name` speaks for it in refusals.
    static std::shared_ptr<const File> view(std::span<const std::byte> bytes, const std::string& name);
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const std::string& path() const { return path_; }
    std::uint64_t bytes() const { return bytes_; }  // of all parts
    std::uint32_t version() const { return version_; }
    std::span<const Entry> metadata() const { return metadata_; }  // of the first part, in file order
    std::span<const Tensor> tensors() const { return tensors_; }   // of all parts, in file order

    const Entry* find(std::string_view key) const;      // null where absent
    const Tensor* tensor(std::string_view name) const;  // null where absent

    // Throws GGUFError when the file shrank or failed under the mapping since it was opened. Call after reading
    // weights.
    void check_intact() const;

    // Throws a GGUFError that names this file, then what is told: the one voice of every refusal about content.
    [[noreturn]] void refuse(const std::string& place, const std::string& found, const std::string& expected) const;

    // Typed access; refuses with key, found and expected. The two-argument forms return the default where absent.
    std::uint64_t unsigned_of(std::string_view key) const;  // any integer type, not negative
    double number_of(std::string_view key) const;           // f32 or f64
    std::string_view string_of(std::string_view key) const;
    bool bool_of(std::string_view key) const;
    std::uint64_t unsigned_of(std::string_view key, std::uint64_t absent) const;
    double number_of(std::string_view key, double absent) const;
    std::string_view string_of(std::string_view key, std::string_view absent) const;
    bool bool_of(std::string_view key, bool absent) const;
    bool has(std::string_view key) const { return find(key) != nullptr; }

  private:
    File(const std::string& path, std::unique_ptr<const Mapping> mapping, std::span<const std::byte> bytes);
    static std::shared_ptr<File> open_one(const std::string& path);
    const Entry& required(std::string_view key) const;
    void check_lone() const;  // that it is no part of a split set
    void join_siblings();
    void join(std::shared_ptr<const File> sibling);

    std::string path_;
    std::unique_ptr<const Mapping> mapping_;  // null for a view
    std::uint64_t bytes_;
    std::uint32_t version_;
    std::vector<Entry> metadata_;
    Names keys_;
    std::vector<Tensor> tensors_;
    Names tensor_names_;
    std::vector<std::shared_ptr<const File>> siblings_;  // the other parts of a split set
};

}  // namespace qwen3moe::gguf
