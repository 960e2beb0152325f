// One sequence: its tokens and its cache. A session belongs to one caller at a time; a second one gets SessionError.
// Nothing changes unless a call ends well: an error or an interrupt leaves the session as it was.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "model/model.h"

namespace qwen3moe {

enum class Wanted { none, last, all, choice };

class Session {
  public:
    Session(std::shared_ptr<const Model> model, std::uint32_t context);

    const Model& model() const { return *model_; }
    std::uint32_t context() const { return context_; }
    std::uint32_t position() const { return static_cast<std::uint32_t>(tokens_.size()); }
    const std::vector<std::int32_t>& tokens() const { return tokens_; }

    std::unique_ptr<Session> fork();
    void truncate(std::uint32_t position);

    // The cache's canonical bytes, a layer at a time, none of an empty session; `fill` and `take` may throw to stop.
    void read(const std::function<void(std::span<const std::byte>)>& take);
    // The same into an empty session; throws SessionFileError for what no evaluation leaves in a cache.
    void write(std::span<const std::int32_t> tokens, const std::function<void(std::span<std::byte>)>& fill);

    void close();

  private:
    friend class SessionLock;
    friend struct Evaluation;
    Session() = default;

    std::shared_ptr<const Model> model_;
    std::uint32_t context_ = 0;
    std::unique_ptr<Cache> cache_;  // null once closed
    std::vector<std::int32_t> tokens_;
    std::atomic<bool> busy_{false};
};

// New tokens for one session, and where its logits go: [1, vocab], [tokens, vocab] or nowhere. Or what is chosen of the
// last token's, by the device, which keeps the logits.
struct Request {
    Session* session;
    std::span<const std::int32_t> tokens;
    float* logits = nullptr;
    Choice* choice = nullptr;
};

// Evaluates all requests together, in batches of at most the executor's rows. `done` counts tokens.
// With `traced`, a plan with captures runs in place of the model's own and `sink` receives the captures batch by batch.
struct Evaluation {
    std::span<const Request> requests;
    Wanted wanted = Wanted::last;
    const Plan* traced = nullptr;
    CaptureSink* sink = nullptr;
    std::function<void(std::size_t done, std::size_t total)> progress = nullptr;

    void run(const Poll& poll) const;
};

}  // namespace qwen3moe
