// Threads that share models and sessions in every way that is allowed, and some that are refused, for the thread
// sanitizer: races MODEL. Says "no difference" where all results were those of a single thread.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "errors.h"
#include "model/sampler.h"
#include "model/session.h"

using namespace qwen3moe;

namespace {

constexpr unsigned kThreads = 16;
constexpr std::uint32_t kContext = 64;

using Model_ = std::shared_ptr<const Model>;

std::vector<float> evaluate(Session& session, const std::vector<std::int32_t>& tokens) {
    std::vector<float> logits(session.model().config.vocab);
    const Request request{&session, tokens, logits.data()};
    Evaluation{.requests = {&request, 1}}.run([] {});
    return logits;
}

std::vector<std::int32_t> prompt(unsigned thread) {
    std::vector<std::int32_t> tokens;
    for (unsigned i = 0; i < 5 + thread; i++) tokens.push_back(static_cast<std::int32_t>((i * 7 + thread) % 200));
    return tokens;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class Nothing final : public CaptureSink {
  public:
    void put(const Stage&, std::uint32_t, const void*, std::size_t, std::size_t) override {}
};

bool use(const Model_& model, unsigned thread, const std::vector<float>& expected) {
    const std::vector<std::int32_t> tokens = prompt(thread);
    Session session(model, kContext);
    bool equal = same(evaluate(session, tokens), expected);
    session.truncate(2);
    const auto fork = session.fork();
    const std::vector<std::int32_t> rest(tokens.begin() + 2, tokens.end());
    equal &= same(evaluate(*fork, rest), expected) && same(evaluate(session, rest), expected);
    const Plan traced = with_captures(model->plan, [](std::string_view, std::uint32_t) { return true; });
    Nothing sink;
    session.truncate(0);
    const Request request{&session, tokens, nullptr};
    Evaluation{.requests = {&request, 1}, .wanted = Wanted::none, .traced = &traced, .sink = &sink}.run([] {});
    session.truncate(0);
    Choice choice{};
    const Request greedy{.session = &session, .tokens = tokens, .choice = &choice};
    Evaluation{.requests = {&greedy, 1}, .wanted = Wanted::choice}.run([] {});
    return equal && choice.token == argmax(expected);
}

// One session, many callers: each gets its turn or is refused.
void contend(Session& session) {
    for (int i = 0; i < 20; i++) try {
            evaluate(session, {1, 2});
            session.truncate(0);
        } catch (const SessionError&) {
        } catch (const ContextFullError&) {
        } catch (const ArgumentError&) {
        }
}

void together(unsigned count, const std::function<void(unsigned)>& work) {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < count; i++) threads.emplace_back(work, i);
}

}  // namespace

int main(int, char** arguments) {
    const std::string path = arguments[1];
    const Model_ model = open_model(path, "cpu", {.threads = 4, .batch = 8});
    std::vector<std::vector<float>> expected;
    for (unsigned i = 0; i < kThreads; i++) {
        Session session(model, kContext);
        expected.push_back(evaluate(session, prompt(i)));
    }
    std::atomic<unsigned> wrong{0};
    together(kThreads, [&](unsigned i) { wrong += !use(model, i, expected[i]); });
    Session shared(model, kContext);
    together(kThreads, [&](unsigned) { contend(shared); });
    together(4, [&](unsigned i) {  // opening and closing beside each other
        const Model_ own = open_model(path, "cpu", {.threads = 2, .batch = 8});
        wrong += !use(own, i, expected[i]);
    });
    std::puts(wrong == 0 ? "no difference" : "results differ");
    return wrong != 0;
}
