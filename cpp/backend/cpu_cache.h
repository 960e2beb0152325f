// The CPU's cache: per layer, K and V heads as X16 with their scales. Memory is touched only as positions are written.
#pragma once

#include <memory>

#include "backend/executor.h"
#include "cpu/steps.h"

namespace qwen3moe {

class CpuCache final : public Cache {
  public:
    CpuCache(std::uint32_t layers, std::uint32_t kv_heads, std::uint32_t head_dim, std::uint32_t context);

    std::uint32_t context() const override { return context_; }
    std::unique_ptr<Cache> copy(std::uint32_t positions) const override;
    void read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const override;
    void write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) override;

    cpu::KvLayer layer(std::uint32_t index) const;

  private:
    struct Free {
        void operator()(void* p) const;
    };

    template <class Visit>
    void each_head(std::uint32_t layer, bool is_v, Visit visit) const;
    std::size_t place(bool is_v, std::size_t position, std::size_t i) const;

    std::uint32_t layers_;
    std::uint32_t kv_heads_;
    std::uint32_t head_dim_;  // 64 or 128
    std::uint32_t context_;
    std::uint32_t rows_;                            // the context in whole groups of keys
    std::unique_ptr<std::int16_t[], Free> values_;  // [layers][K, V][kv_heads][rows * head_dim], as KvLayer orders them
    std::unique_ptr<float[], Free> scales_;         // [layers][K, V][kv_heads][rows]
};

}  // namespace qwen3moe
