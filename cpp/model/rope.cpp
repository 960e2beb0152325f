#include "model/rope.h"

#include <cmath>

namespace qwen3moe {
namespace {

// pi / 2 in three parts of 33 bits and a rest: a multiple of up to 20 bits of the first two is exact.
constexpr double kPio2High = 1.57079632673412561417e+00;
constexpr double kPio2Mid = 6.07710050630396597660e-11;
constexpr double kPio2Low = 2.02226624879595063154e-21;
constexpr double kTwoOverPi = 6.36619772367581382433e-01;

struct Angle {
    double sine;
    double cosine;
};

// For 0 <= x < 2^19 or so: to a quarter turn around zero, then Taylor series of |r| <= pi / 4.
Angle angle(double x) {
    const double n = std::floor(x * kTwoOverPi + 0.5);
    const double r = ((x - n * kPio2High) - n * kPio2Mid) - n * kPio2Low;
    const double z = r * r;
    double sine = 0.0;    // sum of (-1)^k z^k / (2k + 1)!, from the smallest term
    double cosine = 0.0;  // sum of (-1)^k z^k / (2k)!
    for (int k = 9; k >= 0; k--) {
        double odd = 1.0;
        double even = 1.0;
        for (int i = 2; i <= 2 * k + 1; i++) odd *= i;
        for (int i = 2; i <= 2 * k; i++) even *= i;
        const double sign = k % 2 == 0 ? 1.0 : -1.0;
        sine = sine * z + sign / odd;
        cosine = cosine * z + sign / even;
    }
    sine *= r;
    switch (static_cast<std::int64_t>(n) & 3) {
        case 0:
            return {sine, cosine};
        case 1:
            return {cosine, -sine};
        case 2:
            return {-sine, -cosine};
        default:
            return {-cosine, sine};
    }
}

}  // namespace

std::vector<float> rope_table(double base, std::uint32_t head_dim, std::uint32_t positions) {
    const std::uint32_t half = head_dim / 2;  // a power of two
    double step = 1.0 / base;                 // becomes base^(-1 / half)
    for (std::uint32_t n = half; n > 1; n /= 2) step = std::sqrt(step);
    std::vector<double> frequency(half, 1.0);
    for (std::uint32_t i = 1; i < half; i++) frequency[i] = frequency[i - 1] * step;

    std::vector<float> table(std::size_t(positions) * head_dim);
    for (std::uint32_t p = 0; p < positions; p++)
        for (std::uint32_t i = 0; i < half; i++) {
            const Angle a = angle(p * frequency[i]);
            table[std::size_t(p) * head_dim + i] = static_cast<float>(a.cosine);
            table[std::size_t(p) * head_dim + half + i] = static_cast<float>(a.sine);
        }
    return table;
}

}  // namespace qwen3moe
