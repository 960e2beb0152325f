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

// Between the host and the first rows of each head of a layer; on the host the heads follow each other.
void move_heads(std::uint32_t kv_heads, std::size_t rows, std::size_t context, std::uint32_t layer, void* device,
                void* host, std::size_t row_bytes, cudaMemcpyKind kind) {
    const std::size_t pitch = context * row_bytes, width = rows * row_bytes;
    if (width == 0) return;
    void* const first = static_cast<std::byte*>(device) + std::size_t(layer) * kv_heads * pitch;
    const bool up = kind == cudaMemcpyHostToDevice;
    check(cudaMemcpy2D(up ? first : host, up ? pitch : width, up ? host : first, up ? width : pitch, width, kv_heads,
                       kind),
          up ? "filling a cache" : "reading a cache");
}

// Visits every value of K or of V: visit(its index in the canonical bytes, where its high digit is here, and its low).
template <class Visit>
void each_value(const CacheShape& s, std::uint32_t positions, bool is_v, Visit visit) {
    const std::size_t dim = s.head_dim;
    const std::size_t step = is_v ? kRun : 1, to_low = is_v ? kRun * dim : dim;
    std::size_t index = 0;
    for (std::size_t head = 0; head < s.kv_heads; head++)
        for (std::uint32_t position = 0; position < positions; position++) {
            const std::size_t row = is_v ? v_offset(position, s.head_dim) : position * 2 * dim;
            const std::size_t first = head * padded(positions) * 2 * dim + row;
            for (std::size_t i = 0; i < dim; i++) visit(index++, first + i * step, first + i * step + to_low);
        }
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

// Here all values are two digits, those of V in runs of positions; the canonical bytes have them whole and in order.
void DeviceCache::read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const {
    const Current current(shape_.device);
    const std::size_t rows = padded(positions), dim = shape_.head_dim;
    const auto down = [&](void* device, void* host, std::size_t count, std::size_t row_bytes) {
        move_heads(shape_.kv_heads, count, view_.context, layer, device, host, row_bytes, cudaMemcpyDeviceToHost);
    };
    std::vector<std::int8_t> digits(shape_.kv_heads * rows * 2 * dim);
    for (const bool is_v : {false, true}) {
        down(is_v ? view_.v : view_.k, digits.data(), rows, 2 * dim);
        each_value(shape_, positions, is_v, [&](std::size_t index, std::size_t high, std::size_t low) {
            const auto whole = static_cast<std::int16_t>(256 * digits[high] + digits[low]);
            std::memcpy(out.data() + index * sizeof whole, &whole, sizeof whole);
        });
        out = out.subspan(std::size_t(shape_.kv_heads) * positions * dim * sizeof(std::int16_t));
        down(is_v ? view_.v_scale : view_.k_scale, out.data(), positions, sizeof(float));
        out = out.subspan(std::size_t(shape_.kv_heads) * positions * sizeof(float));
    }
}

void DeviceCache::write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) {
    const Current current(shape_.device);
    const std::size_t rows = padded(positions), dim = shape_.head_dim;
    const auto up = [&](void* device, void* host, std::size_t count, std::size_t row_bytes) {
        move_heads(shape_.kv_heads, count, view_.context, layer, device, host, row_bytes, cudaMemcpyHostToDevice);
    };
    std::vector<float> scales(std::size_t(shape_.kv_heads) * positions);
    for (const bool is_v : {false, true}) {
        std::vector<std::int8_t> digits(shape_.kv_heads * rows * 2 * dim);  // zero where a run has no token yet
        each_value(shape_, positions, is_v, [&](std::size_t index, std::size_t high, std::size_t low) {
            std::int16_t whole;
            std::memcpy(&whole, in.data() + index * sizeof whole, sizeof whole);
            digits[high] = static_cast<std::int8_t>(qm_x16_high(whole));
            digits[low] = static_cast<std::int8_t>(qm_x16_low(whole));
        });
        in = in.subspan(std::size_t(shape_.kv_heads) * positions * dim * sizeof(std::int16_t));
        up(is_v ? view_.v : view_.k, digits.data(), rows, 2 * dim);
        std::memcpy(scales.data(), in.data(), scales.size() * sizeof(float));
        in = in.subspan(scales.size() * sizeof(float));
        up(is_v ? view_.v_scale : view_.k_scale, scales.data(), positions, sizeof(float));
    }
}

}  // namespace qwen3moe::cuda
