// Writes GGUF version 3. A Writer is told all metadata and tensors; an Output made of it takes the tensors' data, in
// any order and from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "atomic_file.h"
#include "gguf/file.h"
#include "gguf/types.h"
#include "gguf/values.h"

namespace qwen3moe::gguf {

std::uint64_t data_bytes(Type type, std::span<const std::uint64_t> shape);  // shape[0] is whole blocks

template <class T>
concept Number = std::is_arithmetic_v<T>;

class Writer {
  public:
    // A value's type in the file is that of the argument: write std::uint32_t{8}, not 8.
    template <Number T>
    void add(std::string_view key, T value) {
        begin_entry(key, number_of(T{}));
        append(metadata_, value);
    }
    void add(std::string_view key, std::string_view text) {
        begin_entry(key, kString);
        append(metadata_, text);
    }
    template <class T>
    void add(std::string_view key, const std::vector<T>& values) {
        begin_entry(key, kArray);
        append<std::uint32_t>(metadata_, number_of(T{}));
        append<std::uint64_t>(metadata_, values.size());
        for (const T& value : values) append(metadata_, value);
    }

    // An entry as another file has it.
    void add(const Entry& entry);

    // Shape fastest first. Returns the number by which Output knows the tensor.
    std::size_t add_tensor(std::string_view name, Type type, std::span<const std::uint64_t> shape);

  private:
    friend class Output;

    static constexpr ValueType number_of(std::uint8_t) { return kUint8; }
    static constexpr ValueType number_of(std::int8_t) { return kInt8; }
    static constexpr ValueType number_of(std::uint16_t) { return kUint16; }
    static constexpr ValueType number_of(std::int16_t) { return kInt16; }
    static constexpr ValueType number_of(std::uint32_t) { return kUint32; }
    static constexpr ValueType number_of(std::int32_t) { return kInt32; }
    static constexpr ValueType number_of(std::uint64_t) { return kUint64; }
    static constexpr ValueType number_of(std::int64_t) { return kInt64; }
    static constexpr ValueType number_of(float) { return kFloat32; }
    static constexpr ValueType number_of(double) { return kFloat64; }
    static constexpr ValueType number_of(bool) { return kBool; }
    static constexpr ValueType number_of(const std::string&) { return kString; }

    template <Number T>
    static void append(std::string& bytes, T value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    static void append(std::string& bytes, std::string_view text) {
        append<std::uint64_t>(bytes, text.size());
        bytes.append(text);
    }
    void begin_entry(std::string_view key, ValueType type);
    std::string head() const;  // all that comes before the data

    std::string metadata_;  // as in the file
    std::uint64_t entries_ = 0;
    std::string tensors_;                 // as in the file
    std::vector<std::uint64_t> offsets_;  // of each tensor's data, from the start of all data
    std::uint64_t data_bytes_ = 0;
};

class Output {
  public:
    // Reserves the file and writes what comes before the data. Throws FileError, as all here do.
    Output(const Writer& writer, const std::string& path);

    // Bytes of one tensor, from `offset` within it.
    void write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> data) const {
        file_.write(start_ + offsets_[tensor] + offset, data);
    }
    // The file takes its name; without this call nothing remains of it. `poll` may throw to stop.
    void commit(const std::function<void()>& poll = {}) { file_.commit(poll); }

  private:
    Output(const Writer& writer, const std::string& path, const std::string& head);

    std::uint64_t start_;  // of all data
    std::vector<std::uint64_t> offsets_;
    AtomicFile file_;
};

}  // namespace qwen3moe::gguf
