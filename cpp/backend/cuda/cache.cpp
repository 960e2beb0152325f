#include "backend/cuda/cache.h"

#include <cstring>
#include <string>
#include <vector>

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

// Between the host and rows [0, positions) of each head of a layer; on the host the heads follow each other.
void move_heads(const CacheShape& s, std::uint32_t layer, std::uint32_t positions, void* device, void* host,
                std::size_t row_bytes, cudaMemcpyKind kind) {
    const std::size_t pitch = s.context * row_bytes, width = positions * row_bytes;
    if (width == 0) return;
    void* const first = static_cast<std::byte*>(device) + std::size_t(layer) * s.kv_heads * pitch;
    const bool up = kind == cudaMemcpyHostToDevice;
    check(cudaMemcpy2D(up ? first : host, up ? pitch : width, up ? host : first, up ? width : pitch, width, s.kv_heads,
                       kind),
          up ? "filling a cache" : "reading a cache");
}

// Where the parts of a layer's canonical bytes begin.
struct Parts {
    std::size_t values, scales;  // bytes of K's, and of V's
    Parts(const CacheShape& s, std::uint32_t positions)
        : values(std::size_t(s.kv_heads) * positions * s.head_dim * sizeof(std::int16_t)),
          scales(std::size_t(s.kv_heads) * positions * sizeof(float)) {}
};

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

// K lies here as the digits of a row, all high ones and then all low ones; the canonical bytes have whole values.
void DeviceCache::read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const {
    const Current current(shape_.device);
    const Parts parts(shape_, positions);
    const std::size_t dim = shape_.head_dim;
    const auto down = [&](void* device, void* host, std::size_t row_bytes) {
        move_heads(shape_, layer, positions, device, host, row_bytes, cudaMemcpyDeviceToHost);
    };
    std::vector<std::int8_t> digits(parts.values);
    down(view_.k, digits.data(), 2 * dim);
    for (std::size_t row = 0; row < parts.values / (2 * dim); row++)
        for (std::size_t i = 0; i < dim; i++) {
            const std::int8_t* const d = digits.data() + row * 2 * dim + i;
            const auto whole = static_cast<std::int16_t>(256 * d[0] + d[dim]);
            std::memcpy(out.data() + (row * dim + i) * sizeof whole, &whole, sizeof whole);
        }
    down(view_.k_scale, out.data() + parts.values, sizeof(float));
    down(view_.v, out.data() + parts.values + parts.scales, dim * sizeof(std::int16_t));
    down(view_.v_scale, out.data() + 2 * parts.values + parts.scales, sizeof(float));
}

void DeviceCache::write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) {
    const Current current(shape_.device);
    const Parts parts(shape_, positions);
    const std::size_t dim = shape_.head_dim;
    std::vector<std::byte> host(in.begin(), in.end());
    const auto up = [&](void* device, void* from, std::size_t row_bytes) {
        move_heads(shape_, layer, positions, device, from, row_bytes, cudaMemcpyHostToDevice);
    };
    std::vector<std::int8_t> digits(parts.values);
    for (std::size_t row = 0; row < parts.values / (2 * dim); row++)
        for (std::size_t i = 0; i < dim; i++) {
            std::int16_t whole;
            std::memcpy(&whole, in.data() + (row * dim + i) * sizeof whole, sizeof whole);
            digits[row * 2 * dim + i] = static_cast<std::int8_t>(qm_x16_high(whole));
            digits[row * 2 * dim + dim + i] = static_cast<std::int8_t>(qm_x16_low(whole));
        }
    up(view_.k, digits.data(), 2 * dim);
    up(view_.k_scale, host.data() + parts.values, sizeof(float));
    up(view_.v, host.data() + parts.values + parts.scales, dim * sizeof(std::int16_t));
    up(view_.v_scale, host.data() + 2 * parts.values + parts.scales, sizeof(float));
}

}  // namespace qwen3moe::cuda
