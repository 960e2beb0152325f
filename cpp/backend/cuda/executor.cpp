// The CUDA executor: feeds a plan's steps to one stream; the decoding of one token is replayed as a graph.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "backend/cuda.h"
#include "backend/cuda/buffers.h"
#include "backend/cuda/cache.h"
#include "backend/cuda/graph.h"
#include "backend/cuda/single.h"
#include "backend/cuda/weights.h"
#include "backend/shown.h"
#include "errors.h"
#include "model/params.h"
#include "model/rope.h"

namespace qwen3moe::cuda {
namespace {

constexpr std::uint32_t kKeys = 256;          // in a block of attention
constexpr std::uint32_t kTilesApart = 64;     // of queries: with fewer, blocks of keys are worked on side by side
constexpr std::uint32_t kRowsInFlight = 512;  // batches of more are not queued more than two layers ahead

Activations from_row(Activations a, std::size_t row) {
    a.values += row * a.columns;
    a.high += row * a.blocks() * 256;
    a.low += row * a.blocks() * 256;
    a.sums += row * a.blocks() * 16;
    a.scale += row * a.blocks();
    return a;
}

class CudaExecutor final : public Executor {
  public:
    CudaExecutor(std::uint32_t device, const Config& config, const qwen3moe::Weights& weights, std::uint32_t batch,
                 const Poll& poll)
        : c_(config), device_(device), batch_(batch), weights_(weights) {
        const Current current(device);
        const std::uint64_t buffer_bytes = b_.cut(nullptr, c_, batch_);
        const std::uint64_t key_rows = kKeyBlockFloats / (c_.head_dim + 2);
        require_free(weights_.bytes() + buffer_bytes + key_rows * key_row_bytes(), "the model");
        stream_ = std::make_unique<Stream>();
        for (auto& event : events_) event = std::make_unique<Event>();
        buffers_ = std::make_unique<Memory>(buffer_bytes);
        b_.cut(buffers_->get(), c_, batch_);
        grow_key_blocks(key_rows);
        sent_memory_ = std::make_unique<Pinned>(BatchData{}.cut(nullptr, batch_));
        check(cudaMemset(b_.attention_done, 0, c_.kv_heads * sizeof(uint)), "clearing counters");
        received_ = std::make_unique<Pinned>(std::size_t(std::min(batch_, kLogitsRows)) * c_.vocab * sizeof(float));
        choices_ = std::make_unique<Pinned>(batch_ * sizeof(Choice));
        flags_ = std::make_unique<Pinned>(2 * sizeof(uint));
        weights_.upload(stream(), poll);
    }

    std::uint32_t batch_rows() const override { return batch_; }

    std::unique_ptr<Cache> make_cache(std::uint32_t context) override {
        const std::lock_guard turn(turn_);
        const Current current(device_);
        auto cache = std::make_unique<DeviceCache>(CacheShape{device_, c_.layers, c_.kv_heads, c_.head_dim, context});
        grow_rope(context);
        const std::uint64_t rows = std::uint64_t(c_.heads) * std::bit_ceil((context + kKeys - 1) / kKeys);
        if (rows > key_rows_) {
            require_free(rows * key_row_bytes(), "attention over " + std::to_string(context) + " tokens");
            grow_key_blocks(rows);
        }
        return cache;
    }

    void run(const Plan& plan, const Batch& batch, const Poll& poll) override {
        const std::lock_guard turn(turn_);
        const Current current(device_);
        describe_batch(batch);
        try {
            launch(plan, batch, poll);
            wait(poll);
        } catch (...) {
            cudaStreamSynchronize(stream());  // the buffers and caches are the next caller's
            throw;
        }
        const uint* flags = flags_->as<uint>();
        if (flags[0]) throw NumericalError("a value of the residual is not finite");
        if (flags[1]) throw NumericalError("a value of the logits is not finite");
        if (choosing_)
            std::copy_n(choices_->as<Choice>(), wanted_, batch.choices);
        else if (rows_ == 1 && wanted_ == 1 && !batch.sink)
            copy_logits(batch, 0, 1);
    }

  private:
    cudaStream_t stream() const { return stream_->get(); }

    // ---- memory that grows with the longest context

    std::uint64_t key_row_bytes() const { return (std::uint64_t(c_.head_dim) + 2) * sizeof(float); }

    void grow_key_blocks(std::uint64_t rows) {
        auto memory = std::make_unique<Memory>(rows * key_row_bytes());
        graphs_.clear();
        key_memory_ = std::move(memory);
        key_rows_ = rows;
        key_blocks_.values = static_cast<float*>(key_memory_->get());
        key_blocks_.maximum = key_blocks_.values + rows * c_.head_dim;
        key_blocks_.total = key_blocks_.maximum + rows;
    }

    void grow_rope(std::uint32_t context) {
        if (context <= rope_context_) return;
        const std::vector<float> table = rope_table(c_.rope_base, c_.head_dim, context);
        require_free(table.size() * sizeof(float), "the positions of " + std::to_string(context) + " tokens");
        auto memory = std::make_unique<Memory>(table.size() * sizeof(float));
        check(cudaMemcpy(memory->get(), table.data(), table.size() * sizeof(float), cudaMemcpyHostToDevice),
              "uploading positions");
        graphs_.clear();
        rope_ = std::move(memory);
        rope_context_ = context;
    }

    // ---- one batch

    // What the batch is, in memory that the device reads on its turn.
    void describe_batch(const Batch& batch) {
        rows_ = 0;
        for (const Slice& slice : batch.slices) rows_ += static_cast<std::uint32_t>(slice.tokens.size());
        BatchData sent{};
        const std::uint64_t bytes = sent.cut(sent_memory_->as<void>(), rows_);
        batch_data_.cut(b_.batch, rows_);
        std::uint32_t row = 0, longest = 0;
        tiles_ = 0;
        const std::uint32_t tile_rows = query_tile_rows(attention_params(c_, rows_));
        for (std::uint32_t s = 0; s < batch.slices.size(); s++) {
            const Slice& slice = batch.slices[s];
            const auto count = static_cast<std::uint32_t>(slice.tokens.size());
            sent.caches[s] = static_cast<const DeviceCache*>(slice.cache)->view();
            for (std::uint32_t i = 0; i < count; i += tile_rows)
                sent.tiles[tiles_++] = {row + i, std::min(tile_rows, count - i)};
            for (std::uint32_t i = 0; i < count; i++, row++) {
                sent.tokens[row] = slice.tokens[i];
                sent.places[row] = {s, slice.position + i};
            }
            longest = std::max(longest, slice.position + count);
        }
        wanted_ = static_cast<std::uint32_t>(batch.wanted.size());
        choosing_ = batch.choices != nullptr;
        std::copy(batch.wanted.begin(), batch.wanted.end(), sent.wanted);
        flags_->as<uint>()[0] = flags_->as<uint>()[1] = 0;
        key_blocks_.count = std::bit_ceil((longest + kKeys - 1) / kKeys);
        check(cudaMemcpyAsync(b_.batch, sent_memory_->as<void>(), bytes, cudaMemcpyHostToDevice, stream()),
              "sending a batch");
    }

    // One token and no captures: the same kernels with the same arguments while attention needs as many blocks. The
    // first time they are launched one by one, so that all are loaded before a graph is made of them.
    void launch(const Plan& plan, const Batch& batch, const Poll& poll) {
        if (rows_ != 1 || batch.sink) return launch_steps(plan, batch, poll);
        if (graph_plan_ != &plan) graphs_.clear();
        graph_plan_ = &plan;
        const auto [found, first] = graphs_.try_emplace({key_blocks_.count, wanted_, choosing_});
        if (first) return launch_steps(plan, batch, poll);
        if (!found->second) found->second.record(stream(), [&] { launch_steps(plan, batch, poll); });
        found->second.launch(stream());
    }

    void launch_steps(const Plan& plan, const Batch& batch, const Poll& poll) {
        const bool single = rows_ == 1 && !batch.sink;
        const SingleToken token{c_,
                                weights_,
                                b_,
                                batch_data_,
                                static_cast<const float*>(rope_->get()),
                                key_blocks_,
                                flags_->as<uint>(),
                                choosing_ ? b_.logits : received_->as<float>(),
                                stream()};
        for (std::size_t i = 0; i < plan.steps.size(); i++) {
            const Step& step = plan.steps[i];
            const bool head = step.op == Op::select;
            cudaError_t error = cudaSuccess;
            const std::size_t group =
                single && (!head || wanted_ == 1) ? launch_group(token, std::span(plan.steps).subspan(i), error) : 0;
            if (group == 0) error = run_step(step, batch, poll);
            if (group > 0 && head && choosing_ && error == cudaSuccess) error = choose_rows(0, 1);
            if (error != cudaSuccess) check(error, describe(step).c_str());
            if (group > 0) i += group - 1;
            if (step.op == Op::combine && rows_ > kRowsInFlight) {
                events_[1 + step.layer % 2]->record(stream());
                wait(poll, *events_[1 + (step.layer + 1) % 2]);
            }
        }
    }

    cudaError_t run_step(const Step& step, const Batch& batch, const Poll& poll) {
        const std::uint32_t n = rows_;
        const auto matrix = [&](int i) { return weights_.matrix(step.weights[i]); };
        const auto vector = [&](int i) { return weights_.vector(step.weights[i]); };
        const Experts experts{b_.expert_ids, b_.tiles};
        switch (step.op) {
            case Op::embed:
                return embed(embed_params(c_, n), matrix(0), batch_data_.tokens, b_.residual, stream());
            case Op::norm: {
                const bool last = step.reads[0] == Buffer::selected;
                if (last && wanted_ == 0) return cudaSuccess;
                return norm(norm_params(c_, last ? wanted_ : n), last ? b_.selected : b_.residual, vector(0), b_.normed,
                            stream());
            }
            case Op::qkv:
                return qkv(qkv_params(c_, n), matrix(0), matrix(1), matrix(2), b_.normed, b_.q, b_.k, b_.v, stream());
            case Op::rope_append:
                return rope_append(rope_append_params(c_, n), b_.q, b_.k, b_.v, vector(0), vector(1),
                                   static_cast<const float*>(rope_->get()), batch_data_.places, batch_data_.caches,
                                   step.layer, b_.queries, stream());
            case Op::attention:
                return attend(step.layer);
            case Op::output:
                return output(output_params(c_, n), matrix(0), b_.attention, b_.residual, stream());
            case Op::router:
                return router(router_params(c_, n), matrix(0), b_.normed, b_.router_logits, stream());
            case Op::topk:
                return topk(topk_params(c_, n), b_.router_logits, b_.probabilities, b_.expert_ids, b_.expert_weights,
                            b_.tiles, stream());
            case Op::gate_up:
                return gate_up(gate_up_params(c_, n), matrix(0), matrix(1), b_.normed, experts, b_.gate, b_.up,
                               stream());
            case Op::swiglu:
                return swiglu(swiglu_params(c_, n), b_.gate, b_.up, b_.swiglu, stream());
            case Op::down:
                return down(down_params(c_, n), matrix(0), b_.swiglu, experts, b_.expert_out, stream());
            case Op::combine:
                return combine(combine_params(c_, n), b_.expert_out, b_.expert_weights, b_.moe_out, b_.residual,
                               stream());
            case Op::select:
                return select_rows();
            case Op::logits:
                return make_logits(matrix(0), batch, poll);
            case Op::capture:
                for (const Stage& stage : step.stages) capture(stage, step.layer, batch);
                return cudaSuccess;
        }
        return cudaErrorInvalidValue;
    }

    cudaError_t attend(std::uint32_t layer) {
        const bool apart = tiles_ < kTilesApart && std::uint64_t(rows_) * c_.heads * key_blocks_.count <= key_rows_;
        return attention(attention_params(c_, rows_), b_.queries, batch_data_.places, batch_data_.caches, layer,
                         batch_data_.tiles, tiles_, apart, key_blocks_, b_.attention, stream());
    }

    cudaError_t select_rows() {
        const cudaError_t error =
            find_nonfinite(b_.residual, std::size_t(rows_) * c_.width, &flags_->as<uint>()[0], stream());
        if (error != cudaSuccess || wanted_ == 0) return error;
        return select(norm_params(c_, wanted_), b_.residual, batch_data_.wanted, b_.selected, stream());
    }

    // A few rows at a time: the logits of a batch can be larger than all else that it needs. The row of a graph is
    // copied when the graph is done.
    cudaError_t make_logits(const Weight& head, const Batch& batch, const Poll& poll) {
        for (std::uint32_t first = 0; first < wanted_; first += kLogitsRows) {
            const std::uint32_t count = std::min(kLogitsRows, wanted_ - first);
            const std::size_t values = std::size_t(count) * c_.vocab;
            cudaError_t error = logits(logits_params(c_, count), head, from_row(b_.normed, first), b_.logits, stream());
            if (error == cudaSuccess) error = find_nonfinite(b_.logits, values, &flags_->as<uint>()[1], stream());
            if (error == cudaSuccess) error = choosing_ ? choose_rows(first, count) : ask_for_logits(count);
            if (error != cudaSuccess) return error;
            if (choosing_) continue;
            if (rows_ == 1 && !batch.sink) return cudaSuccess;
            wait(poll);
            copy_logits(batch, first, count);
        }
        return cudaSuccess;
    }

    // first: of the wanted rows, those whose logits are there
    cudaError_t choose_rows(std::uint32_t first, std::uint32_t count) {
        return choose(choose_params(c_, count), b_.logits, b_.choosing, choices_->as<Choice>() + first, stream());
    }

    cudaError_t ask_for_logits(std::uint32_t count) {
        return cudaMemcpyAsync(received_->as<float>(), b_.logits, std::size_t(count) * c_.vocab * sizeof(float),
                               cudaMemcpyDeviceToHost, stream());
    }

    void copy_logits(const Batch& batch, std::uint32_t first, std::uint32_t count) {
        std::memcpy(batch.logits + std::size_t(first) * c_.vocab, received_->as<float>(),
                    std::size_t(count) * c_.vocab * sizeof(float));
    }

    void capture(const Stage& stage, std::uint32_t layer, const Batch& batch) {
        if (stage.buffer == Buffer::logits)
            return batch.sink->put(stage, layer, batch.logits, wanted_, c_.vocab * sizeof(float));
        const Extent shown = extent_of(c_, stage.buffer, layer, rows_, wanted_);
        std::vector<float> host(shown.rows * shown.values);
        check(cudaMemcpyAsync(host.data(), place_of<const void*>(b_, stage.buffer), host.size() * sizeof(float),
                              cudaMemcpyDeviceToHost, stream()),
              "copying a stage");
        check(cudaStreamSynchronize(stream()), "copying a stage");
        batch.sink->put(stage, layer, host.data(), shown.rows, shown.values * sizeof(float));
    }

    // ---- waiting

    void wait(const Poll& poll) {
        events_[0]->record(stream());
        wait(poll, *events_[0]);
    }

    // A decode step ends within a few milliseconds: until then the thread stays awake.
    static void wait(const Poll& poll, const Event& event) {
        using namespace std::chrono;
        auto next_poll = steady_clock::now() + milliseconds(10);
        bool patient = false;
        cudaError_t error;
        while ((error = cudaEventQuery(event.get())) == cudaErrorNotReady) {
            if (steady_clock::now() >= next_poll) {
                patient = true;
                poll();
                next_poll = steady_clock::now() + milliseconds(10);
            }
            if (patient) std::this_thread::sleep_for(microseconds(50));
        }
        cudaGetLastError();  // "not ready" is none
        check(error, "the forward pass (with CUDA_LAUNCH_BLOCKING=1 the step is named)");
    }

    const Config c_;
    const std::uint32_t device_;
    const std::uint32_t batch_;
    DeviceWeights weights_;
    std::unique_ptr<Stream> stream_;
    std::unique_ptr<Event> events_[3];  // the last wait, even layers, odd layers
    std::unique_ptr<Memory> buffers_;
    Buffers b_{};
    std::unique_ptr<Memory> key_memory_;
    KeyBlocks key_blocks_{};
    std::uint64_t key_rows_ = 0;  // blocks of keys of a head that key_memory_ holds
    std::unique_ptr<Memory> rope_;
    std::uint32_t rope_context_ = 0;
    std::unique_ptr<Pinned> sent_memory_, received_, choices_;
    std::unique_ptr<Pinned> flags_;  // residual, logits: not finite
    std::mutex turn_;

    // The batch at hand.
    BatchData batch_data_{};  // on the device
    std::uint32_t rows_ = 0;
    std::uint32_t tiles_ = 0;  // of queries
    std::uint32_t wanted_ = 0;
    bool choosing_ = false;  // in place of giving out logits

    const Plan* graph_plan_ = nullptr;
    // By blocks of keys, wanted rows, and whether a token is chosen.
    std::map<std::tuple<std::uint32_t, std::uint32_t, bool>, Graph> graphs_;
};

}  // namespace

std::unique_ptr<Executor> open(std::uint32_t device, const Config& config, const qwen3moe::Weights& weights,
                               std::uint32_t batch, const Poll& poll) {
    return std::make_unique<CudaExecutor>(device, config, weights, batch, poll);
}

}  // namespace qwen3moe::cuda
