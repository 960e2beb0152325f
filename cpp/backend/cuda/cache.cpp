#include "backend/cuda/cache.h"

#include <string>

namespace qwen3moe::cuda {
namespace {

std::uint64_t padded(std::uint64_t positions) { return (positions + kContextStep - 1) / kContextStep * kContextStep; }

// Rows of all layers; Config bounds every factor, so that the product fits.
std::uint64_t rows_of(const CacheShape& s) { return std::uint64_t(s.layers) * s.kv_heads * padded(s.context); }

std::uint64_t cut(void* base, const CacheShape& s, CacheView& view) {
    Arena arena(base);
    arena.take(view.k, 2 * rows_of(s) * s.head_dim);
    arena.take(view.v, 2 * rows_of(s) * s.head_dim);
    arena.take(view.k_scale, rows_of(s));
    arena.take(view.v_scale, rows_of(s));
    return arena.bytes();
}

}  // namespace

DeviceCache::DeviceCache(const CacheShape& shape) : shape_(shape) {
    const Current current(shape.device);
    view_.context = static_cast<uint>(padded(shape.context));
    // More rows than this are more bytes than an address has; the sum of their bytes would not be one either.
    const bool absurd = rows_of(shape) > (std::uint64_t(1) << 48);
    const std::uint64_t bytes = absurd ? UINT64_MAX : cut(nullptr, shape, view_);
    require_free(bytes, "a cache for " + std::to_string(shape.context) + " tokens");
    memory_ = std::make_unique<Memory>(bytes);
    cut(memory_->get(), shape, view_);
    // Attention takes positions in runs; those without a token count nothing, but are read.
    check(cudaMemset(memory_->get(), 0, bytes), "clearing a cache");
}

std::unique_ptr<Cache> DeviceCache::copy(std::uint32_t positions) const {
    auto made = std::make_unique<DeviceCache>(shape_);
    if (positions == 0) return made;
    const Current current(shape_.device);
    // A region, one head of one layer, holds `context` rows, of which the first `positions` are copied, in whole runs.
    const std::size_t regions = std::size_t(shape_.layers) * shape_.kv_heads;
    const auto copy_rows = [&](void* to, const void* from, std::size_t row_bytes) {
        const std::size_t pitch = view_.context * row_bytes;
        for (std::size_t r = 0; r < regions; r++)
            check(cudaMemcpyAsync(static_cast<std::byte*>(to) + r * pitch,
                                  static_cast<const std::byte*>(from) + r * pitch, padded(positions) * row_bytes,
                                  cudaMemcpyDeviceToDevice, nullptr),
                  "copying a cache");
    };
    const CacheView& to = made->view_;
    copy_rows(to.k, view_.k, 2 * std::size_t(shape_.head_dim));
    copy_rows(to.v, view_.v, 2 * std::size_t(shape_.head_dim));
    copy_rows(to.k_scale, view_.k_scale, sizeof(float));
    copy_rows(to.v_scale, view_.v_scale, sizeof(float));
    check(cudaStreamSynchronize(nullptr), "copying a cache");
    return made;
}

}  // namespace qwen3moe::cuda
