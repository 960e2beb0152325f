#include "gguf/metadata.h"

#include <string>

#include "gguf/refusal.h"

namespace qwen3moe::gguf {
namespace {

constexpr std::uint64_t kLongestKey = 65535;

bool read_bool(Cursor& cursor, const char* what) {
    const auto byte = cursor.scalar<std::uint8_t>(what);
    if (byte > 1) cursor.refuse("a bool of " + std::to_string(byte), "0 or 1");
    return byte == 1;
}

// Walks the elements whose bytes could be wrong or whose end is not known otherwise; steps over all others.
Array read_array(Cursor& cursor) {
    const auto type = cursor.scalar<std::uint32_t>("its element type");
    if (type == kArray) cursor.refuse("an array of arrays", "elements that are no arrays");
    if (type != kString && value_bytes(type) == 0) cursor.refuse(value_name(type), "a value type of GGUF, 0 to 12");

    const auto length = cursor.scalar<std::uint64_t>("its length");
    const std::uint64_t least = type == kString ? sizeof(std::uint64_t) : value_bytes(type);
    if (length > cursor.left() / least)
        cursor.refuse(std::to_string(length) + " elements of type " + value_name(type),
                      "at most " + std::to_string(cursor.left() / least) + ", what the rest of the file can hold");

    const std::uint64_t start = cursor.offset();
    if (type == kString) {
        for (std::uint64_t i = 0; i < length; ++i) cursor.text("one of its strings");
    } else if (type == kBool) {
        for (std::uint64_t i = 0; i < length; ++i) read_bool(cursor, "one of its bools");
    } else {
        cursor.take(length * least, "its elements");
    }
    return {type, length, cursor.since(start)};
}

}  // namespace

Value read_value(Cursor& cursor, std::uint32_t number) {
    constexpr const char* what = "its value";
    switch (number) {
        case kUint8:
            return std::uint64_t{cursor.scalar<std::uint8_t>(what)};
        case kUint16:
            return std::uint64_t{cursor.scalar<std::uint16_t>(what)};
        case kUint32:
            return std::uint64_t{cursor.scalar<std::uint32_t>(what)};
        case kUint64:
            return cursor.scalar<std::uint64_t>(what);
        case kInt8:
            return std::int64_t{cursor.scalar<std::int8_t>(what)};
        case kInt16:
            return std::int64_t{cursor.scalar<std::int16_t>(what)};
        case kInt32:
            return std::int64_t{cursor.scalar<std::int32_t>(what)};
        case kInt64:
            return cursor.scalar<std::int64_t>(what);
        case kFloat32:
            return double{cursor.scalar<float>(what)};
        case kFloat64:
            return cursor.scalar<double>(what);
        case kBool:
            return read_bool(cursor, what);
        case kString:
            return cursor.text(what);
        case kArray:
            return read_array(cursor);
        default:
            cursor.refuse(value_name(number), "a value type of GGUF, 0 to 12");
    }
}

std::vector<Entry> read_metadata(Cursor& cursor, std::uint64_t count, Names& keys) {
    std::vector<Entry> entries;
    for (std::uint64_t i = 0; i < count; ++i) {
        cursor.enter("metadata entry " + std::to_string(i));
        const std::string_view key = cursor.name("its key", kLongestKey);
        const auto kept = keys.add(key, entries.size());
        if (!kept) cursor.refuse(quoted(key) + " again", "a key that is given once");
        cursor.enter("key " + quoted(key));
        const auto type = cursor.scalar<std::uint32_t>("its value type");
        entries.push_back({*kept, type, read_value(cursor, type)});
    }
    return entries;
}

}  // namespace qwen3moe::gguf
