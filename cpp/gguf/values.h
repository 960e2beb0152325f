// Value types of GGUF metadata: their numbers in the file, their names and sizes.
#pragma once

#include <cstdint>
#include <string>

namespace qwen3moe::gguf {

enum ValueType : std::uint32_t {
    kUint8 = 0,
    kInt8 = 1,
    kUint16 = 2,
    kInt16 = 3,
    kUint32 = 4,
    kInt32 = 5,
    kFloat32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kUint64 = 10,
    kInt64 = 11,
    kFloat64 = 12,
};

// Bytes of a value; 0 where that varies (string, array) and where the type is unknown.
std::uint32_t value_bytes(std::uint32_t number);

// As "u32"; "an unknown value type (13)" otherwise.
std::string value_name(std::uint32_t number);

}  // namespace qwen3moe::gguf
