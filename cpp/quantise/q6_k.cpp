// Q6_K: sixteen groups of 16 values. A value is d * scale * q, where d is a half for all 256, a scale has 8 bits for a
// group, and q is -32 to 31.
#include <array>
#include <cmath>

#include "quantise/blocks.h"

namespace qwen3moe::blocks {
namespace {

constexpr int kGroup = 16, kGroups = 16, kValues = kGroup * kGroups, kBytes = 210;
constexpr float kLeast = -32, kMost = 31, kMostScale = 127;

using Group = std::array<float, kGroup>;

void quantise_group(const float* x, float scale, Group& q) {
    const float per_scale = inverse(scale);
    for (int i = 0; i < kGroup; ++i) q[i] = rounded(x[i] * per_scale, kLeast, kMost);
}

float error(const float* x, float scale, const Group& q) {
    return sum<kGroup>([&](int i) {
        const float off = x[i] - scale * q[i];
        return off * off;
    });
}

// The scale of least error for these q.
float fitted(const float* x, const Group& q) {
    const float squares = sum<kGroup>([&](int i) { return q[i] * q[i]; });
    return sum<kGroup>([&](int i) { return x[i] * q[i]; }) * inverse(squares);
}

// A group's best scale by itself. The largest value may be given any q near either end of the range; from each such
// start q and scale are made to fit each other in turn.
float best_scale(const float* x) {
    float extreme = 0;
    for (int i = 0; i < kGroup; ++i) extreme = std::fabs(x[i]) > std::fabs(extreme) ? x[i] : extreme;
    float best = 0, least = error(x, 0, {});
    for (const float end : {-33.0F, -32.5F, -32.0F, -31.5F, -31.0F, -30.5F, -30.0F, -29.0F, -28.0F,  //
                            28.0F, 29.0F, 29.5F, 30.0F, 30.5F, 31.0F, 31.5F, 32.0F}) {
        float scale = extreme / end;
        Group q;
        for (int round = 0; round < 2; ++round) {
            quantise_group(x, scale, q);
            scale = fitted(x, q);
        }
        const float off = error(x, scale, q);
        if (off < least) best = scale, least = off;
    }
    return best;
}

struct Block {
    float d = 0;
    std::array<float, kGroups> scales = {};
    std::array<Group, kGroups> q = {};

    // For this d, each group's scale and q: the nearest scale and its neighbours are tried.
    float choose(const float* x, const std::array<float, kGroups>& wanted) {
        float total = 0;
        const float per_d = inverse(d);
        for (int group = 0; group < kGroups; ++group, x += kGroup) {
            const float nearest = rounded(wanted[group] * per_d, -kMostScale, kMostScale);
            float least = INFINITY;
            for (float scale = std::max(nearest - 1, -kMostScale); scale <= std::min(nearest + 1, kMostScale);
                 ++scale) {
                Group tried;
                quantise_group(x, d * scale, tried);
                const float off = error(x, d * scale, tried);
                if (off < least) least = off, scales[group] = scale, q[group] = tried;
            }
            total += least;
        }
        return total;
    }

    // The d of least error for these scales and q, as a half.
    float fitted_d(const float* x) const {
        float products = 0, squares = 0;
        for (int group = 0; group < kGroups; ++group, x += kGroup) {
            const Group& of = q[group];
            products += scales[group] * sum<kGroup>([&](int i) { return x[i] * of[i]; });
            squares += scales[group] * scales[group] * sum<kGroup>([&](int i) { return of[i] * of[i]; });
        }
        return as_half(products * inverse(squares));
    }

    // The low four bits of value 32 * part + i of either half lie in a nibble, its high two in a byte with three
    // others.
    void write(std::byte* out) const {
        std::uint8_t low[128] = {}, high[64] = {};
        for (int half = 0; half < 2; ++half)
            for (int part = 0; part < 4; ++part)
                for (int i = 0; i < 32; ++i) {
                    const int at = 128 * half + 32 * part + i;
                    const auto bits = static_cast<unsigned>(q[at / kGroup][at % kGroup] - kLeast);
                    low[64 * half + 32 * (part % 2) + i] |= static_cast<std::uint8_t>((bits & 15) << (part / 2 * 4));
                    high[32 * half + i] |= static_cast<std::uint8_t>(bits >> 4 << (2 * part));
                }
        std::memcpy(out, low, sizeof low);
        std::memcpy(out + 128, high, sizeof high);
        for (int group = 0; group < kGroups; ++group) store(out + 192 + group, static_cast<std::int8_t>(scales[group]));
        store(out + 208, half_bits(d));
    }
};

Block best_block(const float* x) {
    std::array<float, kGroups> wanted;
    float largest = 0;
    for (int group = 0; group < kGroups; ++group) {
        wanted[group] = best_scale(x + group * kGroup);
        largest = std::max(largest, std::fabs(wanted[group]));
    }
    Block best;
    best.d = step_of(largest, kMostScale);
    float least = best.choose(x, wanted);
    for (int round = 0; round < 2; ++round) {
        Block next;
        next.d = best.fitted_d(x);
        const float off = next.choose(x, wanted);
        if (off >= least) break;
        best = next, least = off;
    }
    return best;
}

}  // namespace

void to_q6_k(const float* x, std::size_t n, std::byte* out) {
    for (std::size_t i = 0; i < n; i += kValues, x += kValues, out += kBytes) best_block(x).write(out);
}

}  // namespace qwen3moe::blocks
