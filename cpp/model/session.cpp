#include "model/session.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.h"
#include "model/diagnosis.h"
#include "shared/arithmetic.h"

namespace qwen3moe {

// Holds a session for one call.
class SessionLock {
  public:
    explicit SessionLock(Session& session) : session_(session) {
        if (session_.busy_.exchange(true, std::memory_order_acquire))
            throw SessionError("the session is in use by another call; give each thread a session of its own");
        if (!session_.cache_) {
            session_.busy_.store(false, std::memory_order_release);
            throw SessionError("the session is closed");
        }
    }
    ~SessionLock() { session_.busy_.store(false, std::memory_order_release); }
    SessionLock(const SessionLock&) = delete;
    SessionLock& operator=(const SessionLock&) = delete;

  private:
    Session& session_;
};

Session::Session(std::shared_ptr<const Model> model, std::uint32_t context)
    : model_(std::move(model)), context_(context) {
    const std::uint32_t most = model_->config.context;
    if (context == 0 || context > most)
        throw ArgumentError("context is " + std::to_string(context) + "; the model takes 1 to " + std::to_string(most));
    cache_ = model_->executor->make_cache(context);
}

std::unique_ptr<Session> Session::fork() {
    SessionLock lock(*this);
    std::unique_ptr<Session> made(new Session);
    made->model_ = model_;
    made->context_ = context_;
    made->cache_ = cache_->copy(position());
    made->tokens_ = tokens_;
    return made;
}

void Session::truncate(std::uint32_t position) {
    SessionLock lock(*this);
    if (position > tokens_.size())
        throw ArgumentError("cannot truncate to " + std::to_string(position) + "; the session holds " +
                            std::to_string(tokens_.size()) + " tokens");
    tokens_.resize(position);
}

namespace {

void check(const Request& request) {
    const Session& s = *request.session;
    if (request.tokens.empty()) throw ArgumentError("no tokens; give at least one");
    const std::size_t room = s.context() - s.position();
    if (request.tokens.size() > room)
        throw ContextFullError(std::to_string(request.tokens.size()) + " tokens do not fit: the context of " +
                               std::to_string(s.context()) + " has " + std::to_string(room) + " left");
    for (std::size_t i = 0; i < request.tokens.size(); i++)
        if (request.tokens[i] < 0 || static_cast<std::uint32_t>(request.tokens[i]) >= s.model().config.vocab)
            throw ArgumentError("token " + std::to_string(i) + " is " + std::to_string(request.tokens[i]) +
                                "; the vocabulary has 0 to " + std::to_string(s.model().config.vocab - 1));
}

std::size_t layer_bytes(const Config& c, std::size_t positions) {
    return 2 * positions * c.kv_heads * (c.head_dim * sizeof(std::int16_t) + sizeof(float));
}

// Values and scales are within X16's bounds.
void check_layer(const Config& c, std::size_t positions, std::span<const std::byte> bytes) {
    const std::size_t rows = positions * c.kv_heads;
    const auto load = [&]<class T>(T& value, std::size_t at) { std::memcpy(&value, bytes.data() + at, sizeof value); };
    const std::uint32_t least = qm_bits(qm_x16_scale(QM_X16_FLOOR_BITS)),
                        most = qm_bits(qm_x16_scale(QM_X16_LIMIT_BITS));
    bool sound = true;
    for (std::size_t start = 0; start < bytes.size(); start += bytes.size() / 2) {
        const std::size_t scales = start + rows * c.head_dim * sizeof(std::int16_t);
        for (std::size_t at = start; at < scales; at += sizeof(std::int16_t)) {
            std::int16_t value;
            load(value, at);
            sound &= value >= -QM_X16_MAX && value <= QM_X16_MAX;
        }
        for (std::size_t i = 0; i < rows; i++) {
            float scale;
            load(scale, scales + i * sizeof scale);
            sound &= qm_bits(scale) == 0 || (qm_bits(scale) >= least && qm_bits(scale) <= most);
        }
    }
    if (!sound) throw SessionFileError("the stored cache holds values that no evaluation leaves there");
}

}  // namespace

void Session::read(const std::function<void(std::span<const std::byte>)>& take) {
    SessionLock lock(*this);
    if (position() == 0) return;
    std::vector<std::byte> bytes(layer_bytes(model_->config, position()));
    for (std::uint32_t layer = 0; layer < model_->config.layers; layer++) {
        cache_->read(layer, position(), bytes);
        take(bytes);
    }
}

void Session::write(std::span<const std::int32_t> tokens, const std::function<void(std::span<std::byte>)>& fill) {
    SessionLock lock(*this);
    if (position() != 0) throw ArgumentError("the session is not empty");
    if (tokens.empty()) return;
    check({this, tokens});
    const auto positions = static_cast<std::uint32_t>(tokens.size());
    std::vector<std::byte> bytes(layer_bytes(model_->config, positions));
    for (std::uint32_t layer = 0; layer < model_->config.layers; layer++) {
        fill(bytes);
        check_layer(model_->config, positions, bytes);
        cache_->write(layer, positions, bytes);
    }
    tokens_.assign(tokens.begin(), tokens.end());
}

void Session::close() {
    if (!cache_) return;
    SessionLock lock(*this);
    cache_.reset();
}

void Evaluation::run(const Poll& poll) const {
    std::vector<std::unique_ptr<SessionLock>> locks;  // the same session twice is refused here
    for (const Request& request : requests) locks.push_back(std::make_unique<SessionLock>(*request.session));
    std::size_t total = 0;
    for (const Request& request : requests) {
        check(request);
        total += request.tokens.size();
        std::vector<std::int32_t>& held = request.session->tokens_;
        held.reserve(held.size() + request.tokens.size());  // what comes after the work must not fail
    }
    const Model& model = requests.front().session->model();
    for (const Request& request : requests)
        if (&request.session->model() != &model) throw ArgumentError("the sessions belong to different models");
    const std::size_t vocab = model.config.vocab;
    const std::size_t most = model.executor->batch_rows();

    std::vector<Slice> slices;
    std::vector<std::uint32_t> wanted_rows;
    std::vector<float*> destinations;  // of the wanted rows
    std::vector<float> gathered;       // their logits, where they do not lie side by side at their destination
    std::vector<Choice*> chosen_for;   // of the wanted rows, in place of logits
    std::vector<Choice> chosen;
    std::size_t request_index = 0;
    std::size_t offset = 0;  // into that request's tokens
    std::size_t done = 0;
    while (done < total) {
        slices.clear();
        wanted_rows.clear();
        destinations.clear();
        chosen_for.clear();
        std::size_t rows = 0;
        while (rows < most && request_index < requests.size()) {
            const Request& request = requests[request_index];
            const std::size_t count = std::min(most - rows, request.tokens.size() - offset);
            Session& s = *request.session;
            slices.push_back({s.cache_.get(), static_cast<std::uint32_t>(s.tokens_.size() + offset),
                              request.tokens.subspan(offset, count)});
            for (std::size_t i = 0; i < count; i++) {
                const std::size_t token = offset + i;
                const bool last = token + 1 == request.tokens.size();
                if (wanted == Wanted::none || (wanted != Wanted::all && !last)) continue;
                wanted_rows.push_back(static_cast<std::uint32_t>(rows + i));
                if (wanted == Wanted::choice)
                    chosen_for.push_back(request.choice);
                else
                    destinations.push_back(request.logits + (wanted == Wanted::all ? token * vocab : 0));
            }
            rows += count;
            offset += count;
            if (offset == request.tokens.size()) {
                request_index++;
                offset = 0;
            }
        }
        bool together = true;
        for (std::size_t i = 1; i < destinations.size(); i++)
            together &= destinations[i] == destinations[0] + i * vocab;
        if (!together) gathered.resize(destinations.size() * vocab);
        float* logits = destinations.empty() ? nullptr : (together ? destinations[0] : gathered.data());
        chosen.resize(chosen_for.size());

        const Batch batch{slices, wanted_rows, logits, chosen.empty() ? nullptr : chosen.data(), sink};
        try {
            model.executor->run(traced ? *traced : model.plan, batch, poll);
        } catch (const NumericalError&) {
            model.file->check_intact();
            name_first_nonfinite(model, batch, poll);
            throw;
        }
        model.file->check_intact();
        if (!together)
            for (std::size_t i = 0; i < destinations.size(); i++)
                std::copy_n(gathered.data() + i * vocab, vocab, destinations[i]);
        for (std::size_t i = 0; i < chosen.size(); i++) *chosen_for[i] = chosen[i];
        done += rows;
        if (progress) progress(done, total);
    }
    for (const Request& request : requests)
        request.session->tokens_.insert(request.session->tokens_.end(), request.tokens.begin(), request.tokens.end());
}

}  // namespace qwen3moe
