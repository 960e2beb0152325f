#include "backend/cpu_cache.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "errors.h"

namespace qwen3moe {
namespace {

std::uint64_t machine_memory() {
    return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// Pages that nobody has touched: positions without a token cost nothing. What is read of a group beyond the last
// position is not used.
template <class T>
T* allocate(std::uint64_t count, std::uint64_t needed) {
    constexpr std::uint64_t line = 64;
    const std::uint64_t bytes = (count * sizeof(T) + line - 1) / line * line;
    void* p = needed <= machine_memory() ? std::aligned_alloc(line, bytes) : nullptr;
    if (!p)
        throw OutOfMemoryError("a cache needs " + std::to_string(needed) + " bytes; this machine has " +
                               std::to_string(machine_memory()) + ". Ask for a smaller context");
    return static_cast<T*>(p);
}

}  // namespace

void CpuCache::Free::operator()(void* p) const { std::free(p); }

CpuCache::CpuCache(std::uint32_t layers, std::uint32_t kv_heads, std::uint32_t head_dim, std::uint32_t context)
    : layers_(layers),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      context_(context),
      rows_((context + cpu::kKeyGroup - 1) / cpu::kKeyGroup * cpu::kKeyGroup) {
    // Config bounds every factor: layers and context 2^24, heads 2^12; their product fits, times 256 bytes it may not.
    const std::uint64_t rows = std::uint64_t(2) * layers_ * kv_heads_ * rows_;
    const std::uint64_t row_bytes = head_dim_ * sizeof(std::int16_t) + sizeof(float);
    const std::uint64_t needed = rows > UINT64_MAX / row_bytes ? UINT64_MAX : rows * row_bytes;
    values_.reset(allocate<std::int16_t>(rows * head_dim_, needed));
    scales_.reset(allocate<float>(rows, needed));
}

cpu::KvLayer CpuCache::layer(std::uint32_t index) const {
    const std::size_t rows = std::size_t(kv_heads_) * rows_;
    const std::size_t k = std::size_t(index) * 2 * rows;
    const std::size_t v = k + rows;
    return {values_.get() + k * head_dim_, scales_.get() + k, values_.get() + v * head_dim_, scales_.get() + v, rows_};
}

std::unique_ptr<Cache> CpuCache::copy(std::uint32_t positions) const {
    const std::size_t regions = std::size_t(layers_) * 2 * kv_heads_;
    const std::size_t groups = (positions + cpu::kKeyGroup - 1) / cpu::kKeyGroup;
    auto made = std::make_unique<CpuCache>(layers_, kv_heads_, head_dim_, context_);
    for (std::size_t r = 0; r < regions; r++) {
        const std::size_t at = r * rows_;
        std::memcpy(made->values_.get() + at * head_dim_, values_.get() + at * head_dim_,
                    groups * cpu::kKeyGroup * head_dim_ * sizeof(std::int16_t));
        std::memcpy(made->scales_.get() + at, scales_.get() + at, positions * sizeof(float));
    }
    return made;
}

// The heads of a layer's K, or of its V, in their order: visit(values, scales), of the first position each.
template <class Visit>
void CpuCache::each_head(std::uint32_t layer, bool is_v, Visit visit) const {
    const std::size_t first = (std::size_t(layer) * 2 + is_v) * kv_heads_;
    for (std::size_t r = first; r < first + kv_heads_; r++)
        visit(values_.get() + r * rows_ * head_dim_, scales_.get() + r * rows_);
}

// Where element i of a position lies among its head's values, as KvLayer orders them.
std::size_t CpuCache::place(bool is_v, std::size_t position, std::size_t i) const {
    if (is_v) return position / 2 * 2 * head_dim_ + 2 * i + position % 2;
    constexpr std::size_t group = cpu::kKeyGroup;
    return position / group * group * head_dim_ + i / 2 * 2 * group + 2 * (position % group) + i % 2;
}

void CpuCache::read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const {
    for (const bool is_v : {false, true}) {
        each_head(layer, is_v, [&](const std::int16_t* values, const float*) {
            for (std::size_t p = 0; p < positions; p++)
                for (std::size_t i = 0; i < head_dim_; i++, out = out.subspan(sizeof(std::int16_t)))
                    std::memcpy(out.data(), values + place(is_v, p, i), sizeof(std::int16_t));
        });
        each_head(layer, is_v, [&](const std::int16_t*, const float* scales) {
            std::memcpy(out.data(), scales, positions * sizeof(float));
            out = out.subspan(positions * sizeof(float));
        });
    }
}

void CpuCache::write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) {
    for (const bool is_v : {false, true}) {
        each_head(layer, is_v, [&](std::int16_t* values, float*) {
            for (std::size_t p = 0; p < positions; p++)
                for (std::size_t i = 0; i < head_dim_; i++, in = in.subspan(sizeof(std::int16_t)))
                    std::memcpy(values + place(is_v, p, i), in.data(), sizeof(std::int16_t));
        });
        each_head(layer, is_v, [&](std::int16_t*, float* scales) {
            std::memcpy(scales, in.data(), positions * sizeof(float));
            in = in.subspan(positions * sizeof(float));
        });
    }
}

}  // namespace qwen3moe
