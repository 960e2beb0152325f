// What a back end is to the model: it keeps caches and runs plans over batches. cpu.h, and later its siblings, are
// such.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "model/plan.h"
#include "shared/steps.h"

namespace qwen3moe {

// Called now and then from the calling thread during long work; throws to end it.
using Poll = std::function<void()>;

// K and V of one sequence, on the executor's device, in its own layout.
class Cache {
  public:
    virtual ~Cache() = default;
    virtual std::uint32_t context() const = 0;
    virtual std::unique_ptr<Cache> copy(std::uint32_t positions) const = 0;  // the first `positions`, same context

    // A layer's first `positions` as the same bytes on every back end: K as int16 [kv_heads][positions][head_dim], its
    // scales as f32 [kv_heads][positions], then V likewise. No batch is under way.
    virtual void read(std::uint32_t layer, std::uint32_t positions, std::span<std::byte> out) const = 0;
    virtual void write(std::uint32_t layer, std::uint32_t positions, std::span<const std::byte> in) = 0;
};

// Consecutive tokens of one sequence.
struct Slice {
    Cache* cache;
    std::uint32_t position;  // of the first
    std::span<const std::int32_t> tokens;
};

// Receives captured buffers on the host. `layer` is kNoLayer outside the layers.
class CaptureSink {
  public:
    virtual ~CaptureSink() = default;
    // `rows` rows of `bytes` bytes each: the whole batch, or the wanted rows for stages after `select`.
    virtual void put(const Stage& stage, std::uint32_t layer, const void* data, std::size_t rows,
                     std::size_t bytes) = 0;
};

struct Batch {
    std::span<const Slice> slices;          // their tokens in order are the rows of the batch
    std::span<const std::uint32_t> wanted;  // rows whose logits are wanted, rising
    float* logits = nullptr;                // [wanted, vocab], or
    Choice* choices = nullptr;              // [wanted]: what is chosen of them, by the device; then without captures
    CaptureSink* sink = nullptr;            // for a plan with captures
};

class Executor {
  public:
    virtual ~Executor() = default;
    virtual std::uint32_t batch_rows() const = 0;   // the most rows of one batch
    virtual unsigned threads() const { return 0; }  // of the host that work on a step
    virtual std::unique_ptr<Cache> make_cache(std::uint32_t context) = 0;
    // Safe to call from several threads; calls take turns. Throws NumericalError, DeviceError, or what `poll` throws.
    virtual void run(const Plan& plan, const Batch& batch, const Poll& poll) = 0;
};

}  // namespace qwen3moe
