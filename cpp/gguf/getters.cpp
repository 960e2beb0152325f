// Typed access to metadata. A value of another type is refused, never converted.
#include <string>

#include "gguf/file.h"
#include "gguf/refusal.h"

namespace qwen3moe::gguf {
namespace {

std::string place_of(const Entry& entry) { return "key " + quoted(entry.key); }

std::string type_of(const Entry& entry) {
    const Array* const array = std::get_if<Array>(&entry.value);
    return array ? "an array of " + value_name(array->element_type) : value_name(entry.number);
}

template <class T>
const T& get(const File& file, const Entry& entry, const std::string& expected) {
    const T* const value = std::get_if<T>(&entry.value);
    if (!value) file.refuse(place_of(entry), type_of(entry), expected);
    return *value;
}

std::uint64_t get_unsigned(const File& file, const Entry& entry) {
    const std::int64_t* const value = std::get_if<std::int64_t>(&entry.value);
    if (!value) return get<std::uint64_t>(file, entry, "an integer");
    if (*value < 0) file.refuse(place_of(entry), std::to_string(*value), "an integer that is not negative");
    return static_cast<std::uint64_t>(*value);
}

}  // namespace

const Entry& File::required(std::string_view key) const {
    const Entry* const entry = find(key);
    if (!entry) refuse("key " + quoted(key), "nothing", "a value: the model cannot be run without it");
    return *entry;
}

std::uint64_t File::unsigned_of(std::string_view key) const { return get_unsigned(*this, required(key)); }

double File::number_of(std::string_view key) const { return get<double>(*this, required(key), "f32 or f64"); }

std::string_view File::string_of(std::string_view key) const {
    return get<std::string_view>(*this, required(key), "string");
}

bool File::bool_of(std::string_view key) const { return get<bool>(*this, required(key), "bool"); }

std::uint64_t File::unsigned_of(std::string_view key, std::uint64_t absent) const {
    return has(key) ? unsigned_of(key) : absent;
}

double File::number_of(std::string_view key, double absent) const { return has(key) ? number_of(key) : absent; }

std::string_view File::string_of(std::string_view key, std::string_view absent) const {
    return has(key) ? string_of(key) : absent;
}

bool File::bool_of(std::string_view key, bool absent) const { return has(key) ? bool_of(key) : absent; }

}  // namespace qwen3moe::gguf
