#include "synth/random_blocks.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace qwen3moe {
namespace {

using gguf::Type;

template <class T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
template <class T>
void store(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

// f32 to f16 and bf16, to the nearest, ties to even; for finite values that do not overflow.
std::uint16_t to_half(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = bits & 0x7fffffff;
    const std::uint32_t normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Below 2^-14 a half counts in units of 2^-24, which is what an f32 beside 0.5 counts in.
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000;
    return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (magnitude < 0x38800000 ? subnormal : normal));
}
std::uint16_t to_bfloat(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// What blocks of random bits stand for when d is 1. Squares are means over what uniform bits can be.
struct Format {
    Type type;
    std::size_t d_at;         // byte of d in a block; a second half follows it where there are minima
    double scale_square;      // of integer scales within the block; 1 where there are none
    double q_square;          // of q, about its mean where there are minima
    double minimum;           // m as a multiple of d, such that the mean is 0; 0 where q itself is signed
    double minimum_variance;  // of integer minima about their scales, as fix() leaves them

    double variance() const { return scale_square * q_square + minimum * minimum * minimum_variance; }
};

// Of 0..3, 0..15 and 0..31 about their means.
constexpr double kQ2 = 1.25, kQ4 = 21.25, kQ5 = 85.25;
// Of -4..3, -8..7, -16..15, -32..31 and -128..127; of 0..15 and 0..63; of IQ4's sixteen values.
constexpr double kSigned3 = 5.5, kSigned4 = 21.5, kSigned5 = 85.5, kSigned6 = 341.5, kSigned8 = 5461.5;
constexpr double kScale4 = 77.5, kScale6 = 1333.5, kIq4 = 4548;

constexpr Format kFormats[] = {
    {Type::Q8_0, 0, 1, 5397.5, 0, 0},  // -127..127 and a second 0
    {Type::Q4_0, 0, 1, kSigned4, 0, 0},
    {Type::Q4_1, 0, 1, kQ4, -7.5, 0},
    {Type::Q5_0, 0, 1, kSigned5, 0, 0},
    {Type::Q5_1, 0, 1, kQ5, -15.5, 0},
    {Type::IQ4_NL, 0, 1, kIq4, 0, 0},
    {Type::Q2_K, 80, kScale4, kQ2, 1.5, 2.5},
    {Type::Q3_K, 108, kSigned6, kSigned3, 0, 0},
    {Type::Q4_K, 0, kScale6, kQ4, 7.5, 10.5},
    {Type::Q5_K, 0, kScale6, kQ5, 15.5, 10.5},
    {Type::Q6_K, 208, kSigned8, kSigned6, 0, 0},
    {Type::IQ4_XS, 0, kSigned6, kIq4, 0, 0},
};

const Format* format_of(Type type) {
    for (const Format& format : kFormats)
        if (format.type == type) return &format;
    return nullptr;  // not quantised
}

// Makes the minima of Q4_K and Q5_K those of their scales but for three low bits, which keeps each 32 values near mean
// 0. Scales and minima of six bits lie in 12 bytes: low words hold four of them each and the top bits of four others.
void tie_minima(std::byte* at) {
    const auto scales = load<std::uint32_t>(at);
    store(at + 4, scales ^ (load<std::uint32_t>(at + 4) & 0x07070707U));
    const auto nibbles = load<std::uint32_t>(at + 8);
    store(at + 8, ((nibbles & 0x0f0f0f0fU) * 0x11U) ^ (nibbles & 0x70707070U));
}

// Turns random bytes into a block as a quantiser might make it.
void fix(Type type, std::byte* block) {
    switch (type) {
        case Type::Q4_K:
        case Type::Q5_K:
            tie_minima(block + 4);
            break;
        case Type::Q2_K:  // a scale and a minimum in each of 16 bytes: the same but for two low bits
            for (std::size_t i = 0; i < 16; i += 8) {
                const auto bytes = load<std::uint64_t>(block + i);
                store(block + i, ((bytes & 0x0f0f0f0f0f0f0f0fU) * 0x11U) ^ (bytes & 0x3030303030303030U));
            }
            break;
        case Type::Q8_0:  // quantisers never give -128
            for (std::size_t i = 2; i < 34; ++i) block[i] = block[i] == std::byte{0x80} ? std::byte{0} : block[i];
            break;
        default:
            break;
    }
}

void fill_random(std::uint64_t key, std::uint64_t first_word, std::span<std::byte> out) {
    const std::size_t words = out.size() / 8;
    for (std::size_t i = 0; i < words; ++i) store(out.data() + 8 * i, random_word(key, first_word + i));
    const std::uint64_t last = random_word(key, first_word + words);
    std::memcpy(out.data() + 8 * words, &last, out.size() % 8);
}

// Integers of as many bits as the values that replace them.
template <class Integer, class Convert>
void scale(std::span<std::byte> out, float unit, Convert convert) {
    for (std::size_t i = 0; i < out.size(); i += sizeof(Integer))
        store(&out[i], convert(static_cast<float>(load<Integer>(&out[i])) * unit));
}

}  // namespace

RandomBlocks::RandomBlocks(Type type, double deviation, std::uint64_t key) : type_(type), key_(key) {
    // Unquantised: uniform over all integers of 32 or 16 bits.
    unit_ = static_cast<float>(deviation * std::sqrt(12.0) / (type == Type::F32 ? 0x1p32 : 0x1p16));
    const Format* const format = format_of(type);
    if (!format) return;

    // Scales from 0.75 to 1.25 of the one that gives the deviation; negative in every other block where the integers'
    // mean is not 0.
    const bool any_sign = format->minimum == 0 && type != Type::Q8_0;
    const double spread = std::sqrt(1 + 0.25 / 12);
    const double d = deviation / (std::sqrt(format->variance()) * spread);
    for (std::size_t i = 0; i < scales_.size(); ++i) {
        const double level = 0.75 + 0.5 * (static_cast<double>(i % 32) + 0.5) / 32;
        const double chosen = any_sign && i >= 32 ? -level * d : level * d;
        scales_[i] = {to_half(static_cast<float>(chosen)), to_half(static_cast<float>(chosen * format->minimum))};
    }
}

void RandomBlocks::fill(std::uint64_t first, std::span<std::byte> out) const {
    const std::size_t bytes = gguf::info(type_).bytes;
    fill_random(key_, first * bytes / 8, out);
    if (type_ == Type::F32) return scale<std::int32_t>(out, unit_, [](float value) { return value; });
    if (type_ == Type::F16) return scale<std::int16_t>(out, unit_, to_half);
    if (type_ == Type::BF16) return scale<std::int16_t>(out, unit_, to_bfloat);

    const Format& format = *format_of(type_);
    for (std::size_t at = 0; at < out.size(); at += bytes) {
        std::byte* const block = &out[at];
        std::byte* const d = block + format.d_at;
        const Scale& chosen = scales_[load<std::uint16_t>(d) % scales_.size()];
        store(d, chosen.d);
        if (format.minimum != 0) store(d + 2, chosen.m);
        fix(type_, block);
    }
}

}  // namespace qwen3moe
