#include "quantise/quantise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "errors.h"
#include "quantise/blocks.h"

namespace qwen3moe {
namespace {

using gguf::Type;

constexpr float kLargestHalf = 65504, kLargest = std::numeric_limits<float>::max();

struct Quantiser {
    Type type;
    void (*run)(const float* x, std::size_t n, std::byte* out);
    float most;  // of |x|
};

constexpr Quantiser kQuantisers[] = {
    {Type::F32, blocks::to_f32, kLargest},       {Type::F16, blocks::to_f16, kLargestHalf},
    {Type::BF16, blocks::to_bf16, kLargest / 2}, {Type::Q8_0, blocks::to_q8_0, kLargestHalf},
    {Type::Q4_K, blocks::to_q4_k, kLargestHalf}, {Type::Q5_K, blocks::to_q5_k, kLargestHalf},
    {Type::Q6_K, blocks::to_q6_k, kLargestHalf},
};

const Quantiser* quantiser_of(Type type) {
    for (const Quantiser& quantiser : kQuantisers)
        if (quantiser.type == type) return &quantiser;
    return nullptr;
}

void check(const Quantiser& quantiser, std::span<const float> values) {
    const auto wrong = std::ranges::find_if(values, [&](float value) { return !(std::fabs(value) <= quantiser.most); });
    if (wrong != values.end())
        throw NumericalError("a weight is " + std::to_string(*wrong) + ", expected a number that " +
                             std::string(info(quantiser.type).name) + " can hold");
}

}  // namespace

bool can_quantise(Type type) { return quantiser_of(type) != nullptr; }

void quantise(Type type, std::span<const float> values, std::span<std::byte> out, unsigned threads) {
    const Quantiser* const quantiser = quantiser_of(type);
    const gguf::TypeInfo& format = info(type);
    if (!quantiser) throw ArgumentError("there is no quantiser for " + std::string(format.name));
    if (values.size() % format.block != 0 || out.size() != values.size() / format.block * format.bytes)
        throw ArgumentError(std::to_string(values.size()) + " values are no whole blocks of " +
                            std::string(format.name) + ", or do not fill their place");
    check(*quantiser, values);

    const std::size_t blocks = values.size() / format.block;
    const std::size_t share = (blocks + threads - 1) / threads;
    const auto work = [&](std::size_t first) {
        const std::size_t count = std::min(share, blocks - first);
        quantiser->run(&values[first * format.block], count * format.block, &out[first * format.bytes]);
    };
    std::vector<std::jthread> helpers;  // whose destructors join them
    for (std::size_t first = share; first < blocks; first += share) {
        try {
            helpers.emplace_back(work, first);
        } catch (const std::system_error&) {  // the system gives no more threads: this one does it all
            work(first);
        }
    }
    if (blocks > 0) work(0);
}

}  // namespace qwen3moe
