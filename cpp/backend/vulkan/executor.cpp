// The Vulkan executor: records a plan's steps and submits them; the decoding of one token is recorded once and
// submitted again.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "backend/shown.h"
#include "backend/vulkan.h"
#include "backend/vulkan/cache.h"
#include "backend/vulkan/single.h"
#include "errors.h"
#include "model/params.h"
#include "model/rope.h"

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint64_t kKeyBlockFloats = 16u << 20;  // that attention may use at a time, unless one token needs more
constexpr std::uint32_t kTokensOfDispatch = 32768;    // of attention
constexpr std::uint64_t kReceivedRows = 256;          // where logits or choices begin; the flags stand before
constexpr std::uint32_t kRowsOfPiece = 64;            // batches of more are submitted layer by layer

class VulkanExecutor final : public Executor {
  public:
    VulkanExecutor(std::uint32_t number, const Config& config, const qwen3moe::Weights& weights, std::uint32_t batch,
                   const Poll& poll)
        : c_(config), device_(Device::open(number)), weights_(device_, weights), stream_(device_) {
        batch_ = rows_that_fit(batch);
        const std::uint64_t buffer_bytes = b_.cut(VK_NULL_HANDLE, c_, batch_);
        const std::uint64_t key_rows = key_rows_of(1);
        device_->require_free(weights_.bytes() + buffer_bytes + key_rows * key_row_bytes(), "the model");
        buffers_ = std::make_unique<Buffer>(device_, buffer_bytes, Where::device);
        b_.cut(buffers_->handle(), c_, batch_);
        grow_key_blocks(key_rows);
        sent_ = std::make_unique<Buffer>(device_, buffer_bytes - b_.batch.flags.offset, Where::host_to_device);
        const std::uint64_t received = std::max(b_.logits.bytes, b_.choosing.choices.bytes);
        received_ = std::make_unique<Buffer>(device_, kReceivedRows + received, Where::device_to_host);
        stream_.name("uploading weights");
        weights_.upload(stream_, poll);
        stream_.recording({}).clear(b_.attention_done);
        stream_.finish({});
    }

    std::uint32_t batch_rows() const override { return batch_; }

    std::unique_ptr<Cache> make_cache(std::uint32_t context) override {
        const std::lock_guard turn(turn_);
        device_->require_usable();
        auto cache = std::make_unique<DeviceCache>(device_, CacheShape{c_.layers, c_.kv_heads, c_.head_dim, context});
        grow_rope(context);
        const std::uint64_t rows = key_rows_of(context);
        if (rows > key_rows_) {
            device_->require_free(rows * key_row_bytes(), "attention over " + std::to_string(context) + " tokens");
            grow_key_blocks(rows);
        }
        return cache;
    }

    void run(const Plan& plan, const Batch& batch, const Poll& poll) override {
        const std::lock_guard turn(turn_);
        device_->require_usable();
        describe_batch(batch);
        try {
            if (rows_ == 1 && !batch.sink)
                decode(plan, batch, poll);
            else
                record_all(stream_.recording(poll), plan, batch, poll);
            stream_.finish(poll);
        } catch (...) {
            stream_.abandon();  // the buffers and caches are the next caller's
            throw;
        }
        const auto* flags = received_->as<std::uint32_t>();
        if (flags[0]) throw NumericalError("a value of the residual is not finite");
        if (flags[1]) throw NumericalError("a value of the logits is not finite");
        if (choosing_)
            std::copy_n(received_->as<Choice>(kReceivedRows), wanted_, batch.choices);
        else if (rows_ == 1 && wanted_ == 1 && !batch.sink)
            copy_logits(batch, 0, 1);
    }

  private:
    // ---- memory

    // The most rows, at most `batch`, whose buffers the device can bind and hold in one piece.
    std::uint32_t rows_that_fit(std::uint32_t batch) {
        for (;; batch /= 2) {
            const std::uint64_t bytes = b_.cut(VK_NULL_HANDLE, c_, batch);
            const Limits& limits = device_->limits();
            if (bytes <= limits.allocation && b_.largest() <= limits.range) return batch;
            if (batch == 1)
                throw OutOfMemoryError("a single token needs a buffer of " + std::to_string(b_.largest()) +
                                       " bytes; the device binds at most " + std::to_string(limits.range));
        }
    }

    static std::uint32_t key_blocks_of(std::uint32_t tokens) {
        return std::bit_ceil((tokens + QM_KEY_BLOCK - 1) / QM_KEY_BLOCK);
    }
    // Blocks of keys of a head that are at work at a time: a whole batch's or, where they are too many, one token's.
    std::uint64_t key_rows_of(std::uint32_t context) const {
        const std::uint64_t of_token = std::uint64_t(c_.heads) * key_blocks_of(context);
        return std::max(of_token, std::min(of_token * batch_, kKeyBlockFloats / (c_.head_dim + 2)));
    }
    std::uint64_t key_row_bytes() const { return (std::uint64_t(c_.head_dim) + 2) * sizeof(float); }

    // What was recorded or bound names the memory before.
    void forget_recordings() {
        decodings_.clear();
        stream_.sets().clear();
    }

    void grow_key_blocks(std::uint64_t rows) {
        KeyBlocks blocks{};
        const auto cut = [&](VkBuffer buffer) {
            Arena arena(buffer);
            arena.take<float>(blocks.values, rows * c_.head_dim);
            arena.take<float>(blocks.maximum, rows);
            arena.take<float>(blocks.total, rows);
            return arena.bytes();
        };
        const std::uint64_t bytes = cut(VK_NULL_HANDLE);
        if (blocks.values.bytes > device_->limits().range)
            throw OutOfMemoryError("attention needs a buffer of " + std::to_string(blocks.values.bytes) +
                                   " bytes; the device binds at most " + std::to_string(device_->limits().range));
        auto memory = std::make_unique<Buffer>(device_, bytes, Where::device);
        cut(memory->handle());
        forget_recordings();
        key_memory_ = std::move(memory);
        key_rows_ = rows;
        key_blocks_ = blocks;
    }

    void grow_rope(std::uint32_t context) {
        if (context <= rope_context_) return;
        const std::vector<float> table = rope_table(c_.rope_base, c_.head_dim, context);
        const std::uint64_t bytes = table.size() * sizeof(float);
        device_->require_free(bytes, "the positions of " + std::to_string(context) + " tokens");
        auto memory = std::make_unique<Buffer>(device_, bytes, Where::device);
        const Buffer host(device_, bytes, Where::host_to_device);
        std::memcpy(host.as<float>(), table.data(), bytes);
        stream_.recording({}).copy(host.all(), memory->all());
        stream_.finish({});
        forget_recordings();
        rope_ = std::move(memory);
        rope_context_ = context;
    }

    // ---- one batch

    template <class T>
    T* sent(const Region& region) const {
        return sent_->as<T>(region.offset - b_.batch.flags.offset);
    }

    // What the batch is, in memory that the device reads on its turn.
    void describe_batch(const Batch& batch) {
        rows_ = 0;
        sequences_ = static_cast<std::uint32_t>(batch.slices.size());
        std::uint32_t longest = 0;
        for (std::uint32_t s = 0; s < sequences_; s++) {
            const Slice& slice = batch.slices[s];
            const auto& cache = static_cast<const DeviceCache&>(*slice.cache);
            for (std::uint32_t layer = 0; layer < c_.layers; layer++)
                sent<VkDeviceAddress>(b_.batch.caches)[std::size_t(layer) * sequences_ + s] = cache.layer(layer);
            for (std::uint32_t i = 0; i < slice.tokens.size(); i++, rows_++) {
                sent<std::int32_t>(b_.batch.tokens)[rows_] = slice.tokens[i];
                sent<Place>(b_.batch.places)[rows_] = {s, slice.position + i, cache.room()};
                longest = std::max(longest, slice.position + i + 1);
            }
        }
        wanted_ = static_cast<std::uint32_t>(batch.wanted.size());
        choosing_ = batch.choices != nullptr;
        std::ranges::copy(batch.wanted, sent<std::uint32_t>(b_.batch.wanted));
        std::fill_n(sent<std::uint32_t>(b_.batch.flags), 2, 0u);
        key_blocks_.count = key_blocks_of(longest);
    }

    // One token and no captures: the same recording while attention needs as many blocks.
    void decode(const Plan& plan, const Batch& batch, const Poll& poll) {
        if (decoded_plan_ != &plan) decodings_.clear();
        decoded_plan_ = &plan;
        auto& recording = decodings_[{key_blocks_.count, wanted_, choosing_}];
        if (!recording) {
            auto made = stream_.make_recording();
            made->begin();
            record_all(*made, plan, batch, poll);
            made->end();
            recording = std::move(made);
        }
        stream_.name("decoding a token");
        stream_.run(*recording, poll);
    }

    void record_all(Recording& work, const Plan& plan, const Batch& batch, const Poll& poll) {
        Region described = spanning(b_.batch.flags, b_.batch.caches);
        described.bytes += std::uint64_t(c_.layers) * sequences_ * sizeof(VkDeviceAddress) - b_.batch.caches.bytes;
        work.copy(sent_->part(0, described.bytes), described);
        Recording* now = &work;
        const bool single = rows_ == 1 && !batch.sink;
        for (std::size_t i = 0; i < plan.steps.size(); i++) {
            const Step& step = plan.steps[i];
            stream_.name("the steps up to " + describe(step));
            if (const std::size_t group = single ? record_group(work, std::span(plan.steps).subspan(i)) : 0) {
                i += group - 1;
                continue;
            }
            if (step.op == Op::combine && plan.steps[i + 1].op == Op::norm)  // the next layer's
                combine_norm(
                    *now,
                    {combine_params(c_, rows_), {norm_params(c_, rows_), weights_.vector(plan.steps[++i].weights[0])}},
                    b_);
            else
                now = record_step(*now, step, batch, poll);
            if (step.op == Op::combine && rows_ > kRowsOfPiece) {
                stream_.submit();
                now = &stream_.recording(poll);
            }
        }
        now->copy(b_.batch.flags, received_->all());
        if (choosing_) {
            const Region& choices = b_.choosing.choices;
            const std::uint64_t bytes = wanted_ * sizeof(Choice);
            now->copy({choices.buffer, choices.offset, bytes}, received_->part(kReceivedRows, bytes));
        }
    }

    // The steps of one token that are recorded together; 0 where there are none.
    std::size_t record_group(Recording& work, std::span<const Step> steps) const {
        const bool head = steps[0].op == Op::select;
        if (head && wanted_ == 0) return 0;
        const SingleToken token{c_, weights_, b_, key_blocks_, address_of(rope_->address()), device_->limits().shared};
        const std::size_t group = vulkan::record_group(work, token, steps);
        if (head && group > 0) take_logits(work, 0, 1);
        return group;
    }

    // What is recorded to next: a step that looks at its results ends a piece of work.
    Recording* record_step(Recording& work, const Step& step, const Batch& batch, const Poll& poll) {
        const std::uint32_t n = rows_;
        const auto matrix = [&](int i) -> const Weight& { return weights_.matrix(step.weights[i]); };
        const auto vector = [&](int i) { return weights_.vector(step.weights[i]); };
        const Sequences sequences{b_.batch.places, b_.batch.caches, sequences_};
        switch (step.op) {
            case Op::embed:
                embed(work, embed_params(c_, n), matrix(0), b_.batch.tokens, b_.residual);
                break;
            case Op::norm: {
                const bool last = step.reads[0] == qwen3moe::Buffer::selected;
                const std::uint32_t rows = last ? wanted_ : n;
                if (rows) norm(work, norm_params(c_, rows), last ? b_.selected : b_.residual, vector(0), b_.normed);
                break;
            }
            case Op::qkv:
                qkv(work, qkv_params(c_, n), matrix(0), matrix(1), matrix(2), b_);
                break;
            case Op::rope_append:
                rope_append(work,
                            {rope_append_params(c_, n), vector(0), vector(1), address_of(rope_->address()), step.layer,
                             sequences_},
                            b_, sequences);
                break;
            case Op::attention:
                attend(work, step.layer, sequences);
                break;
            case Op::output:
                output(work, output_params(c_, n), matrix(0), b_);
                break;
            case Op::router:
                router(work, router_params(c_, n), matrix(0), b_);
                break;
            case Op::topk:
                topk(work, topk_params(c_, n), b_);
                break;
            case Op::gate_up:
                gate_up(work, gate_up_params(c_, n), matrix(0), matrix(1), b_);
                break;
            case Op::swiglu:
                swiglu(work, swiglu_params(c_, n), b_);
                break;
            case Op::down:
                down(work, down_params(c_, n), matrix(0), b_);
                break;
            case Op::combine:
                combine(work, combine_params(c_, n), b_);
                break;
            case Op::select:
                find_nonfinite(work, b_.residual, std::uint64_t(n) * c_.width, b_.batch.flags, 0);
                if (wanted_) select(work, norm_params(c_, wanted_), b_);
                break;
            case Op::logits:
                return make_logits(work, matrix(0), batch, poll);
            case Op::capture:
                for (const Stage& stage : step.stages) capture(stage, step.layer, batch, poll);
                return &stream_.recording(poll);
        }
        return &work;
    }

    // As many tokens at a time as the memory for their blocks of keys holds.
    void attend(Recording& work, std::uint32_t layer, const Sequences& sequences) {
        const std::uint64_t per_token = std::uint64_t(c_.heads) * key_blocks_.count;
        const auto most = static_cast<std::uint32_t>(std::min<std::uint64_t>(key_rows_ / per_token, kTokensOfDispatch));
        for (std::uint32_t first = 0; first < rows_; first += most)
            attention(
                work,
                {attention_params(c_, std::min(most, rows_ - first)), first, layer, sequences_, key_blocks_.count}, b_,
                sequences, key_blocks_);
    }

    // A few rows at a time: the logits of a batch can be larger than all else that it needs. The row of a decoding is
    // copied when it is done.
    Recording* make_logits(Recording& work, const Weight& head, const Batch& batch, const Poll& poll) {
        Recording* now = &work;
        for (std::uint32_t first = 0; first < wanted_; first += kLogitsRows) {
            const std::uint32_t count = std::min(kLogitsRows, wanted_ - first);
            const std::uint64_t values = std::uint64_t(count) * c_.vocab;
            logits(*now, logits_params(c_, count), first, head, b_);
            find_nonfinite(*now, b_.logits, values, b_.batch.flags, 1);
            take_logits(*now, first, count);
            if (choosing_ || (rows_ == 1 && !batch.sink)) continue;
            stream_.finish(poll);
            copy_logits(batch, first, count);
            now = &stream_.recording(poll);
        }
        return now;
    }

    // To the host, or to choose from; they are those of the wanted rows from `first` on.
    void take_logits(Recording& work, std::uint32_t first, std::uint32_t count) const {
        if (choosing_) return choose(work, choose_params(c_, count), first, b_);
        const std::uint64_t bytes = std::uint64_t(count) * c_.vocab * sizeof(float);
        work.copy({b_.logits.buffer, b_.logits.offset, bytes}, received_->part(kReceivedRows, bytes));
    }

    void copy_logits(const Batch& batch, std::uint32_t first, std::uint32_t count) const {
        std::memcpy(batch.logits + std::size_t(first) * c_.vocab, received_->as<float>(kReceivedRows),
                    std::size_t(count) * c_.vocab * sizeof(float));
    }

    void capture(const Stage& stage, std::uint32_t layer, const Batch& batch, const Poll& poll) {
        if (stage.buffer == qwen3moe::Buffer::logits)
            return batch.sink->put(stage, layer, batch.logits, wanted_, c_.vocab * sizeof(float));
        const Region region = place_of<Region>(b_, stage.buffer);
        const Extent shown = extent_of(c_, stage.buffer, layer, rows_, wanted_);
        std::vector<std::byte> host(shown.rows * shown.values * sizeof(float));
        for (std::size_t at = 0; at < host.size(); at += b_.logits.bytes) {
            const std::size_t bytes = std::min<std::size_t>(b_.logits.bytes, host.size() - at);
            stream_.recording(poll).copy({region.buffer, region.offset + at, bytes},
                                         received_->part(kReceivedRows, bytes));
            stream_.finish(poll);
            std::memcpy(host.data() + at, received_->as<std::byte>(kReceivedRows), bytes);
        }
        batch.sink->put(stage, layer, host.data(), shown.rows, shown.values * sizeof(float));
    }

    const Config c_;
    const std::shared_ptr<Device> device_;
    std::uint32_t batch_ = 0;
    DeviceWeights weights_;
    std::unique_ptr<Buffer> buffers_;
    Buffers b_{};
    std::unique_ptr<Buffer> key_memory_;
    KeyBlocks key_blocks_{};
    std::uint64_t key_rows_ = 0;  // blocks of keys of a head that key_memory_ holds
    std::unique_ptr<Buffer> rope_;
    std::uint32_t rope_context_ = 0;
    std::unique_ptr<Buffer> sent_, received_;
    Stream stream_;
    std::mutex turn_;

    // The batch at hand.
    std::uint32_t rows_ = 0;
    std::uint32_t wanted_ = 0;
    bool choosing_ = false;  // in place of giving out logits
    std::uint32_t sequences_ = 0;

    const Plan* decoded_plan_ = nullptr;
    // By blocks of keys, wanted rows, and whether a token is chosen.
    std::map<std::tuple<std::uint32_t, std::uint32_t, bool>, std::unique_ptr<Recording>> decodings_;
};

}  // namespace

std::unique_ptr<Executor> open(std::uint32_t device, const Config& config, const qwen3moe::Weights& weights,
                               std::uint32_t batch, const Poll& poll) {
    return std::make_unique<VulkanExecutor>(device, config, weights, batch, poll);
}

}  // namespace qwen3moe::vulkan
