// Two variants of the CPU kernels side by side: every weight type's products and attention, bit for bit. Built by
// test_neon.py for a machine that this one can only emulate.
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/steps.h"
#include "gguf/types.h"

namespace qwen3moe::cpu::portable {
extern const Steps kSteps;
}
namespace qwen3moe::cpu::neon {
extern const Steps kSteps;
}

using namespace qwen3moe;
using namespace qwen3moe::cpu;

namespace {

std::mt19937 random_bits(1);

std::vector<float> floats(std::size_t n) {
    std::vector<float> x(n);
    for (float& v : x) v = static_cast<float>(static_cast<int>(random_bits() % 20001) - 10000) / 3000.0f;
    return x;
}

std::vector<float> products(const Steps& steps, const Weight& w, std::uint32_t rows, const std::vector<float>& x,
                            std::uint32_t tokens) {
    const std::size_t blocks = (w.columns + 255) / 256;
    std::vector<X16Block> quantised(tokens * blocks);
    for (std::size_t t = 0; t < tokens; t++) steps.quantise(&x[t * w.columns], w.columns, &quantised[t * blocks]);
    std::vector<float> out(std::size_t(tokens) * rows);
    steps.dot(w, {0, rows}, {x.data(), quantised.data(), w.columns}, tokens, out.data(), rows);
    return out;
}

std::vector<float> attended(const Steps& steps, std::uint32_t dim, std::uint32_t heads, std::uint32_t kv_heads) {
    constexpr std::uint32_t tokens = 300, rows = 304;
    random_bits.seed(dim + heads);
    std::vector<float> q = floats(std::size_t(tokens) * heads * dim), k = floats(std::size_t(tokens) * kv_heads * dim);
    const std::vector<float> v = floats(k.size()), norm = floats(dim), rope = floats(std::size_t(tokens) * dim);
    // Lines of a cache begin where vectors do.
    std::vector<X16Block> keys(rows * kv_heads), values(keys.size());
    std::vector<float> k_scale(rows * kv_heads), v_scale(k_scale.size()), scale(std::size_t(tokens) * heads);
    const KvLayer cache{reinterpret_cast<std::int16_t*>(keys.data()), k_scale.data(),
                        reinterpret_cast<std::int16_t*>(values.data()), v_scale.data(), rows};
    std::vector<std::int16_t> high(q.size()), low(q.size());
    const Queries queries{high.data(), low.data(), scale.data()};
    std::vector<Place> places;
    for (std::uint32_t t = 0; t < tokens; t++) places.push_back({0, t});
    const RopeAppendParams append{tokens, heads, kv_heads, dim, 1.0f / static_cast<float>(dim), 1e-6f, 0.1f};
    steps.rope_append(append, q.data(), k.data(), v.data(), norm.data(), norm.data(), rope.data(), places.data(),
                      &cache, queries, {0, tokens * (heads + 2 * kv_heads)});
    std::vector<float> out(q.size());
    std::vector<X16Block> blocks(std::size_t(tokens) * ((heads * dim + 255) / 256));
    steps.attention({tokens, heads, kv_heads, dim}, heads, queries, places.data(), &cache,
                    {out.data(), blocks.data(), heads * dim}, {0, tokens});
    return out;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

int main() {
    int compared = 0;
    for (const gguf::TypeInfo& type : gguf::kTypes)
        for (const std::uint32_t columns : {256u, 768u, 2304u}) {
            constexpr std::uint32_t rows = 37;
            const std::size_t row_bytes = columns / type.block * type.bytes;
            std::vector<std::uint8_t> data(rows * row_bytes);
            for (std::uint8_t& byte : data)
                byte = static_cast<std::uint8_t>(random_bits() & 0xbf);  // halves are finite
            const Weight w{data.data(), static_cast<std::uint32_t>(type.type), columns, row_bytes};
            for (const std::uint32_t tokens : {1u, 2u, 100u}) {
                const std::vector<float> x = floats(std::size_t(tokens) * columns);
                if (!same(products(portable::kSteps, w, rows, x, tokens), products(neon::kSteps, w, rows, x, tokens)))
                    return std::printf("%s differs: %u columns, %u tokens\n", type.name.data(), columns, tokens), 1;
                compared++;
            }
        }
    for (const std::uint32_t dim : {64u, 128u})
        for (const std::uint32_t shared : {1u, 2u, 3u, 8u}) {
            if (!same(attended(portable::kSteps, dim, 4 * shared, 4), attended(neon::kSteps, dim, 4 * shared, 4)))
                return std::printf("attention differs: heads of %u, %u for a KV head\n", dim, shared), 1;
            compared++;
        }
    std::printf("%d equal\n", compared);
}
