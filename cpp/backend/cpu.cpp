#include "backend/cpu.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cpu_cache.h"
#include "backend/cpu_steps.h"
#include "backend/pool.h"
#include "errors.h"
#include "model/params.h"
#include "model/rope.h"

namespace qwen3moe {
namespace {

using cpu::MutableRows;
using cpu::Range;
using cpu::X16Block;

constexpr std::uint32_t kRows = 32;       // rows of a matrix that a thread takes at a time, at least
constexpr std::uint32_t kFewTokens = 16;  // most experts have one of them
constexpr std::uint32_t kPieces = 8;      // that a thread's share of few tokens' work is cut into

// Whole large pages within a range, as a wish: products write to rows that are pages apart.
void prefer_large_pages(void* data, std::size_t bytes) {
    constexpr std::uintptr_t page = 2u << 20;
    const auto first = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t begin = (first + page - 1) / page * page, end = (first + bytes) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

// Memory that is not touched before it is used.
template <class T>
class Array {
  public:
    explicit Array(std::size_t n) : data_(new T[n]) { prefer_large_pages(data_.get(), n * sizeof(T)); }
    T* get() const { return data_.get(); }

  private:
    std::unique_ptr<T[]> data_;
};

// Activations as floats and as X16.
class Activations {
  public:
    Activations(std::size_t rows, std::uint32_t columns)
        : columns_(columns), values_(rows * columns), blocks_(rows * ((columns + 255) / 256)) {}
    MutableRows rows() const { return {values_.get(), blocks_.get(), columns_}; }

  private:
    std::uint32_t columns_;
    Array<float> values_;
    Array<X16Block> blocks_;
};

// The plan's buffers for a full batch; n, r and u as in plan.h.
struct Buffers {
    Buffers(const Config& c, std::size_t n)
        : residual(n * c.width),
          normed(n, c.width),
          q(n * c.q_rows()),
          k(n * c.kv_rows()),
          v(n * c.kv_rows()),
          q_high(n * c.q_rows()),
          q_low(n * c.q_rows()),
          q_scale(n * c.heads),
          attention(n, c.q_rows()),
          router_logits(n * c.experts),
          probabilities(n * c.experts),
          expert_ids(n * c.experts_used),
          expert_weights(n * c.experts_used),
          slot_first(c.experts + 1),
          slot(n * c.experts_used),
          active(c.experts),
          gate(n * c.experts_used * c.ff),
          up(n * c.experts_used * c.ff),
          swiglu(n * c.experts_used, c.ff),
          expert_out(n * c.experts_used * c.width),
          moe_out(n * c.width),
          selected(n * c.width) {}

    Array<float> residual;
    Activations normed;
    Array<float> q, k, v;
    Array<std::int16_t> q_high, q_low;
    Array<float> q_scale;
    Activations attention;
    Array<float> router_logits, probabilities;
    Array<std::int32_t> expert_ids;
    Array<float> expert_weights;
    Array<std::uint32_t> slot_first, slot, active;  // the batch's slots grouped by expert, and which have any
    Array<float> gate, up;
    Activations swiglu;
    Array<float> expert_out, moe_out, selected;
};

const float* floats(const gguf::Tensor* t) { return reinterpret_cast<const float*>(t->data.data()); }

cpu::Weight weight(const gguf::Tensor* t) {
    return {reinterpret_cast<const std::uint8_t*>(t->data.data()), static_cast<std::uint32_t>(t->type),
            static_cast<std::uint32_t>(t->shape[0]), t->row_bytes()};
}

class CpuExecutor final : public Executor {
  public:
    CpuExecutor(const Config& config, const CpuOptions& options)
        : c_(config),
          steps_(cpu_steps()),
          pool_(options.threads ? options.threads : usable_processors()),
          batch_(options.batch),
          buffers_(config, options.batch) {}

    std::uint32_t batch_rows() const override { return batch_; }
    unsigned threads() const override { return pool_.threads(); }

    std::unique_ptr<Cache> make_cache(std::uint32_t context) override {
        auto cache = std::make_unique<CpuCache>(c_.layers, c_.kv_heads, c_.head_dim, context);
        std::lock_guard turn(turn_);
        if (rope_.size() < std::size_t(context) * c_.head_dim) rope_ = rope_table(c_.rope_base, c_.head_dim, context);
        return cache;
    }

    void run(const Plan& plan, const Batch& batch, const Poll& poll) override {
        std::lock_guard turn(turn_);
        place_rows(batch);
        const auto wanted = static_cast<std::uint32_t>(batch.wanted.size());
        const Array<float> own(batch.choices ? std::size_t(wanted) * c_.vocab : 0);
        logits_ = batch.choices ? own.get() : batch.logits;
        for (const Step& step : plan.steps) run_step(step, batch, poll);
        check_finite(logits_, std::size_t(wanted) * c_.vocab, "logits");  // after a capture had its look
        if (!batch.choices) return;
        const auto choose = [&](Range r) { steps_.choose(choose_params(c_, wanted), logits_, batch.choices, r); };
        pool_.run(wanted, 1, choose, poll);
    }

  private:
    // One line of what each row of the batch is; the caches' layers are looked up per step.
    void place_rows(const Batch& batch) {
        tokens_.clear();
        places_.clear();
        caches_.resize(batch.slices.size());
        for (std::uint32_t s = 0; s < batch.slices.size(); s++)
            for (std::uint32_t i = 0; i < batch.slices[s].tokens.size(); i++) {
                tokens_.push_back(batch.slices[s].tokens[i]);
                places_.push_back({s, batch.slices[s].position + i});
            }
    }

    void find_layer(const Batch& batch, std::uint32_t layer) {
        for (std::size_t s = 0; s < batch.slices.size(); s++)
            caches_[s] = static_cast<const CpuCache*>(batch.slices[s].cache)->layer(layer);
    }

    void run_step(const Step& step, const Batch& batch, const Poll& poll) {
        const auto n = static_cast<std::uint32_t>(tokens_.size());
        const auto wanted = static_cast<std::uint32_t>(batch.wanted.size());
        const Buffers& b = buffers_;
        const auto& w = step.weights;
        const cpu::Queries queries{b.q_high.get(), b.q_low.get(), b.q_scale.get()};
        const std::uint32_t ff_rows = grain(n, c_.ff, active_), width_rows = grain(n, c_.width, active_);
        const auto slots = [&](std::uint32_t rows) {
            return cpu::ExpertSlots{b.slot_first.get(), b.slot.get(), b.active.get(), rows};
        };
        const auto share = [&](std::uint32_t items, std::uint32_t grain, const std::function<void(Range)>& work) {
            pool_.run(items, grain, work, poll);
        };
        switch (step.op) {
            case Op::embed:
                return share(n, 1, [&](Range r) {
                    steps_.embed(embed_params(c_, n), weight(w[0]), tokens_.data(), b.residual.get(), r);
                });
            case Op::norm: {
                const bool last = step.reads[0] == Buffer::selected;
                const float* x = last ? b.selected.get() : b.residual.get();
                return share(last ? wanted : n, 1,
                             [&](Range r) { steps_.norm(norm_params(c_, n), x, floats(w[0]), b.normed.rows(), r); });
            }
            case Op::qkv:
                return share(c_.q_rows() + 2 * c_.kv_rows(), grain(n, c_.q_rows() + 2 * c_.kv_rows()), [&](Range r) {
                    steps_.qkv(qkv_params(c_, n), weight(w[0]), weight(w[1]), weight(w[2]), b.normed.rows(), b.q.get(),
                               b.k.get(), b.v.get(), r);
                });
            case Op::rope_append:
                find_layer(batch, step.layer);
                return share(n * (c_.heads + 2 * c_.kv_heads), 8, [&](Range r) {
                    steps_.rope_append(rope_append_params(c_, n), b.q.get(), b.k.get(), b.v.get(), floats(w[0]),
                                       floats(w[1]), rope_.data(), places_.data(), caches_.data(), queries, r);
                });
            case Op::attention:
                find_layer(batch, step.layer);
                return share(n * ((c_.heads + run_heads(n) - 1) / run_heads(n)), 1, [&](Range r) {
                    steps_.attention(attention_params(c_, n), run_heads(n), queries, places_.data(), caches_.data(),
                                     b.attention.rows(), r);
                });
            case Op::output:
                return share(c_.width, grain(n, c_.width), [&](Range r) {
                    steps_.output(output_params(c_, n), weight(w[0]), b.attention.rows(), b.residual.get(), r);
                });
            case Op::router:
                return share(c_.experts, 8, [&](Range r) {
                    steps_.router(router_params(c_, n), weight(w[0]), b.normed.rows(), b.router_logits.get(), r);
                });
            case Op::topk:
                share(n, 1, [&](Range r) {
                    steps_.topk(topk_params(c_, n), b.router_logits.get(), b.probabilities.get(), b.expert_ids.get(),
                                b.expert_weights.get(), r);
                });
                return group_by_expert(n);
            case Op::gate_up:
                return share(active_ * tiles(c_.ff, ff_rows), 1, [&](Range r) {
                    steps_.gate_up(gate_up_params(c_, n), weight(w[0]), weight(w[1]), b.normed.rows(), slots(ff_rows),
                                   b.gate.get(), b.up.get(), r);
                });
            case Op::swiglu:
                return share(n * c_.experts_used, 1, [&](Range r) {
                    steps_.swiglu(swiglu_params(c_, n), b.gate.get(), b.up.get(), b.swiglu.rows(), r);
                });
            case Op::down:
                return share(active_ * tiles(c_.width, width_rows), 1, [&](Range r) {
                    steps_.down(down_params(c_, n), weight(w[0]), b.swiglu.rows(), slots(width_rows),
                                b.expert_out.get(), r);
                });
            case Op::combine:
                return share(n, 1, [&](Range r) {
                    steps_.combine(combine_params(c_, n), b.expert_out.get(), b.expert_weights.get(), b.moe_out.get(),
                                   b.residual.get(), r);
                });
            case Op::select:
                for (std::uint32_t i = 0; i < wanted; i++)
                    std::memcpy(b.selected.get() + std::size_t(i) * c_.width,
                                b.residual.get() + std::size_t(batch.wanted[i]) * c_.width, c_.width * sizeof(float));
                return check_finite(b.residual.get(), std::size_t(n) * c_.width, "residual");
            case Op::logits:
                if (wanted == 0) return;
                return share(c_.vocab, grain(wanted, c_.vocab), [&](Range r) {
                    steps_.logits(logits_params(c_, wanted), weight(w[0]), b.normed.rows(), logits_, r);
                });
            case Op::capture:
                for (const Stage& stage : step.stages) capture(stage, step.layer, n, batch);
                return;
        }
    }

    // Rows of a matrix, or of each of several, that make an item. Where a matrix meets one token, its activations are
    // put in order for each item, so that items are large.
    std::uint32_t grain(std::uint32_t tokens, std::uint32_t rows, std::uint32_t matrices = 1) const {
        if (tokens > kFewTokens) return kRows;
        const std::uint64_t share = std::uint64_t(rows) * matrices / (pool_.threads() * kPieces);
        return static_cast<std::uint32_t>(
            std::clamp<std::uint64_t>(share / kRows * kRows, kRows, rows < kRows ? kRows : rows));
    }

    // Heads that a thread takes together: those of a KV head, so that they read its keys once, and of as many KV heads
    // as make whole blocks of outputs; fewer where threads would have nothing to do.
    std::uint32_t run_heads(std::uint32_t tokens) const {
        const std::uint32_t shared = c_.heads / c_.kv_heads;
        std::uint32_t run = shared;
        while (run < c_.heads && run * c_.head_dim % 256 != 0) run += shared;
        run = std::min(run, c_.heads);
        while (run % 2 == 0 && run / 2 * c_.head_dim % 256 == 0 && tokens * (c_.heads / run) < pool_.threads())
            run /= 2;
        return run;
    }

    static std::uint32_t tiles(std::uint32_t rows, std::uint32_t tile) { return (rows + tile - 1) / tile; }

    // A counting sort of the batch's slots by expert.
    void group_by_expert(std::uint32_t n) {
        const std::uint32_t slots = n * c_.experts_used;
        const std::int32_t* ids = buffers_.expert_ids.get();
        std::uint32_t* first = buffers_.slot_first.get();
        std::fill_n(first, c_.experts + 1, 0u);
        for (std::uint32_t s = 0; s < slots; s++) first[ids[s] + 1]++;
        active_ = 0;
        for (std::uint32_t e = 0; e < c_.experts; e++) {
            if (first[e + 1] != 0) buffers_.active.get()[active_++] = e;
            first[e + 1] += first[e];
        }
        std::vector<std::uint32_t> next(first, first + c_.experts);
        for (std::uint32_t s = 0; s < slots; s++) buffers_.slot.get()[next[static_cast<std::uint32_t>(ids[s])]++] = s;
    }

    static void check_finite(const float* x, std::size_t n, const char* what) {
        for (std::size_t i = 0; i < n; i++)
            if (!std::isfinite(x[i])) throw NumericalError(std::string("a value of the ") + what + " is not finite");
    }

    void capture(const Stage& stage, std::uint32_t layer, std::uint32_t n, const Batch& batch) const {
        const auto put = [&](const void* data, std::size_t rows, std::size_t values) {
            batch.sink->put(stage, layer, data, rows, values * sizeof(float));
        };
        const Buffers& b = buffers_;
        const std::size_t used = c_.experts_used;
        switch (stage.buffer) {
            case Buffer::residual:
                return put(b.residual.get(), n, c_.width);
            case Buffer::normed:
                return put(b.normed.rows().values, layer == kNoLayer ? batch.wanted.size() : n, c_.width);
            case Buffer::q:
                return put(b.q.get(), n, c_.q_rows());
            case Buffer::k:
                return put(b.k.get(), n, c_.kv_rows());
            case Buffer::v:
                return put(b.v.get(), n, c_.kv_rows());
            case Buffer::attention:
                return put(b.attention.rows().values, n, c_.q_rows());
            case Buffer::router_logits:
                return put(b.router_logits.get(), n, c_.experts);
            case Buffer::probabilities:
                return put(b.probabilities.get(), n, c_.experts);
            case Buffer::expert_ids:
                return put(b.expert_ids.get(), n, used);
            case Buffer::expert_weights:
                return put(b.expert_weights.get(), n, used);
            case Buffer::gate:
                return put(b.gate.get(), n, used * c_.ff);
            case Buffer::up:
                return put(b.up.get(), n, used * c_.ff);
            case Buffer::swiglu:
                return put(b.swiglu.rows().values, n, used * c_.ff);
            case Buffer::expert_out:
                return put(b.expert_out.get(), n, used * c_.width);
            case Buffer::moe_out:
                return put(b.moe_out.get(), n, c_.width);
            case Buffer::logits:
                return put(batch.logits, batch.wanted.size(), c_.vocab);
            default:
                return;  // no stage shows the others
        }
    }

    const Config c_;
    const cpu::Steps& steps_;
    Pool pool_;
    const std::uint32_t batch_;
    Buffers buffers_;
    std::vector<float> rope_;
    std::mutex turn_;

    // The batch at hand.
    std::vector<std::int32_t> tokens_;
    std::vector<cpu::Place> places_;
    std::vector<cpu::KvLayer> caches_;
    float* logits_ = nullptr;   // [wanted, vocab]
    std::uint32_t active_ = 0;  // experts that the layer's tokens go to
};

}  // namespace

std::unique_ptr<Executor> open_cpu(const Config& config, const CpuOptions& options) {
    return std::make_unique<CpuExecutor>(config, options);
}

}  // namespace qwen3moe
