// Q8_0: 32 values share a half as their scale; the largest of them becomes 127.
#include <cmath>

#include "quantise/blocks.h"

namespace qwen3moe::blocks {

void to_q8_0(const float* x, std::size_t n, std::byte* out) {
    constexpr std::size_t kValues = 32, kBytes = 34;
    for (std::size_t i = 0; i < n; i += kValues, x += kValues, out += kBytes) {
        float largest = 0;
        for (std::size_t j = 0; j < kValues; ++j) largest = std::max(largest, std::fabs(x[j]));
        const float d = step_of(largest, 127), per_d = inverse(d);
        store(out, half_bits(d));
        for (std::size_t j = 0; j < kValues; ++j)
            store(out + 2 + j, static_cast<std::int8_t>(rounded(x[j] * per_d, -127, 127)));
    }
}

}  // namespace qwen3moe::blocks
