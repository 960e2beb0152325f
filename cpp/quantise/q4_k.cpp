// Q4_K and Q5_K: eight groups of 32 values. A value is d * scale * q - dmin * minimum, where d and dmin are halves for
// all 256, scale and minimum have 6 bits for a group, and q is 0 to 15 or 0 to 31.
#include <array>
#include <cmath>

#include "quantise/blocks.h"

namespace qwen3moe::blocks {
namespace {

constexpr int kGroup = 32, kGroups = 8, kValues = kGroup * kGroups;
constexpr float kMostScale = 63;

using Group = std::array<float, kGroup>;

// scale * q - minimum, neither negative.
struct Line {
    float scale = 0, minimum = 0;
};

float error(const float* x, Line line, const Group& q) {
    return sum<kGroup>([&](int i) {
        const float off = x[i] - (line.scale * q[i] - line.minimum);
        return off * off;
    });
}

// The line of least error for these q.
Line fitted(const float* x, const Group& q) {
    constexpr auto count = static_cast<float>(kGroup);
    const float sum_q = sum<kGroup>([&](int i) { return q[i]; });
    const float sum_x = sum<kGroup>([&](int i) { return x[i]; });
    const float sum_qq = sum<kGroup>([&](int i) { return q[i] * q[i]; });
    const float sum_qx = sum<kGroup>([&](int i) { return q[i] * x[i]; });
    const float scale = (count * sum_qx - sum_q * sum_x) * inverse(count * sum_qq - sum_q * sum_q);
    const float minimum = (scale * sum_q - sum_x) / count;
    if (minimum >= 0) return {std::max(scale, 0.0F), scale >= 0 ? minimum : std::max(-sum_x / count, 0.0F)};
    return {std::max(sum_qx * inverse(sum_qq), 0.0F), 0};
}

template <int kBits>
struct Quantiser {
    static constexpr float kMost = (1 << kBits) - 1;
    static constexpr int kBytes = 16 + kValues * kBits / 8;

    static void quantise_group(const float* x, Line line, Group& q) {
        const float per_scale = inverse(line.scale);
        for (int i = 0; i < kGroup; ++i) q[i] = rounded((x[i] + line.minimum) * per_scale, 0, kMost);
    }

    // A group's best line by itself. Its range may be a little more or less than the steps that there are; from each
    // such start q and line are made to fit each other in turn.
    static Line best_line(const float* x) {
        float low = 0, high = x[0];
        for (int i = 0; i < kGroup; ++i) low = std::min(low, x[i]), high = std::max(high, x[i]);
        Line best{0, -low};
        if (high <= low) return best;
        float least = INFINITY;
        for (int start = 0; start < 10; ++start) {
            const float over = -2.5F + 0.5F * static_cast<float>(start);  // steps that the range lacks
            const float scale = (high - low) / (kMost - over), outside = 0.5F * over * scale;
            Line line{scale, std::max(outside - low, 0.0F)};
            Group q;
            for (int round = 0; round < 3; ++round) {
                quantise_group(x, line, q);
                line = fitted(x, q);
            }
            const float off = error(x, line, q);
            if (off < least) best = line, least = off;
        }
        return best;
    }

    struct Block {
        float d = 0, dmin = 0;
        std::array<Line, kGroups> lines = {};  // in units of d and dmin
        std::array<Group, kGroups> q = {};

        // For this d and dmin, each group's line and q: the nearest line and its neighbours are tried.
        float choose(const float* x, const std::array<Line, kGroups>& wanted) {
            float total = 0;
            const float per_d = inverse(d), per_dmin = inverse(dmin);
            for (int group = 0; group < kGroups; ++group, x += kGroup) {
                const float scale = rounded(wanted[group].scale * per_d, 0, kMostScale);
                const float minimum = rounded(wanted[group].minimum * per_dmin, 0, kMostScale);
                float least = INFINITY;
                for (float s = std::max(scale - 1, 0.0F); s <= std::min(scale + 1, kMostScale); ++s)
                    for (float m = std::max(minimum - 1, 0.0F); m <= std::min(minimum + 1, kMostScale); ++m) {
                        const Line line{d * s, dmin * m};
                        Group tried;
                        quantise_group(x, line, tried);
                        const float off = error(x, line, tried);
                        if (off < least) least = off, lines[group] = {s, m}, q[group] = tried;
                    }
                total += least;
            }
            return total;
        }

        // d and dmin of least error for these lines and q, as halves.
        std::array<float, 2> fitted_d(const float* x) const {
            float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // a: scale * q, b: -minimum
            for (int group = 0; group < kGroups; ++group, x += kGroup) {
                const auto [scale, minimum] = lines[group];
                const Group& of = q[group];
                const float sum_q = sum<kGroup>([&](int i) { return of[i]; });
                aa += scale * scale * sum<kGroup>([&](int i) { return of[i] * of[i]; });
                ab -= scale * minimum * sum_q;
                bb += minimum * minimum * static_cast<float>(kGroup);
                ax += scale * sum<kGroup>([&](int i) { return of[i] * x[i]; });
                bx -= minimum * sum<kGroup>([&](int i) { return x[i]; });
            }
            const float determinant = aa * bb - ab * ab;
            if (determinant <= 1e-6F * aa * bb) return {as_half(ax * inverse(aa)), dmin};
            return {as_half((ax * bb - bx * ab) / determinant), as_half((bx * aa - ax * ab) / determinant)};
        }

        void write(std::byte* out) const {
            store(out, half_bits(d));
            store(out + 2, half_bits(dmin));
            write_lines(out + 4);
            std::uint8_t high[32] = {}, low[128] = {};
            for (int group = 0; group < kGroups; ++group)
                for (int i = 0; i < kGroup; ++i) {
                    const auto bits = static_cast<unsigned>(q[group][i]);
                    low[32 * (group / 2) + i] |= static_cast<std::uint8_t>((bits & 15) << (group % 2 * 4));
                    high[i] |= static_cast<std::uint8_t>(bits >> 4 << group);
                }
            if (kBits == 5) std::memcpy(out + 16, high, sizeof high);
            std::memcpy(out + kBytes - 128, low, sizeof low);
        }

        // Six bits each: those of the first four groups in bytes of their own, whose top bits hold the others' top two,
        // and the others' low four as nibbles in the last four bytes.
        void write_lines(std::byte* out) const {
            for (int j = 0; j < 4; ++j) {
                const auto bits = [](float value) { return static_cast<unsigned>(value); };
                const unsigned scale = bits(lines[j + 4].scale), minimum = bits(lines[j + 4].minimum);
                store(out + j, static_cast<std::uint8_t>(bits(lines[j].scale) | scale >> 4 << 6));
                store(out + 4 + j, static_cast<std::uint8_t>(bits(lines[j].minimum) | minimum >> 4 << 6));
                store(out + 8 + j, static_cast<std::uint8_t>((scale & 15) | (minimum & 15) << 4));
            }
        }
    };

    static Block best_block(const float* x) {
        std::array<Line, kGroups> wanted;
        Line largest;
        for (int group = 0; group < kGroups; ++group) {
            wanted[group] = best_line(x + group * kGroup);
            largest.scale = std::max(largest.scale, wanted[group].scale);
            largest.minimum = std::max(largest.minimum, wanted[group].minimum);
        }
        Block best;
        best.d = step_of(largest.scale, kMostScale), best.dmin = step_of(largest.minimum, kMostScale);
        float least = best.choose(x, wanted);
        for (int round = 0; round < 2; ++round) {
            Block next;
            const auto [d, dmin] = best.fitted_d(x);
            if (!(d >= 0 && dmin >= 0)) break;
            next.d = d, next.dmin = dmin;
            const float off = next.choose(x, wanted);
            if (off >= least) break;
            best = next, least = off;
        }
        return best;
    }

    static void quantise(const float* x, std::size_t n, std::byte* out) {
        for (std::size_t i = 0; i < n; i += kValues, x += kValues, out += kBytes) best_block(x).write(out);
    }
};

}  // namespace

void to_q4_k(const float* x, std::size_t n, std::byte* out) { Quantiser<4>::quantise(x, n, out); }
void to_q5_k(const float* x, std::size_t n, std::byte* out) { Quantiser<5>::quantise(x, n, out); }

}  // namespace qwen3moe::blocks
