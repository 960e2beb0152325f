// Any bytes at all: refused, or a model that runs a prompt to its end or to a typed error, with the same bits at once
// and token by token.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu.h"
#include "errors.h"
#include "model/sampler.h"
#include "model/session.h"
#include "mutate.h"

using namespace qwen3moe;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

std::shared_ptr<const Model> load(std::span<const std::byte> bytes) {
    auto model = std::make_shared<Model>();
    model->device = "cpu";
    model->file = gguf::File::view(bytes, "input");
    model->config = read_config(*model->file);
    model->weights = read_weights(*model->file, model->config);
    model->plan = make_plan(model->weights);
    model->executor = open_cpu(model->config, {.threads = 1, .batch = 4});
    return model;
}

std::vector<float> evaluate(Session& session, std::span<const std::int32_t> tokens) {
    std::vector<float> logits(tokens.size() * session.model().config.vocab);
    const Request request{&session, tokens, logits.data()};
    Evaluation{.requests = {&request, 1}, .wanted = Wanted::all}.run([] {});
    for (float x : logits) require(std::isfinite(x));
    return logits;
}

void run(const std::shared_ptr<const Model>& model) {
    const Config& c = model->config;
    const auto last = static_cast<std::int32_t>(c.vocab - 1);
    const std::int32_t tokens[] = {0, last, last / 2};
    const std::size_t count = std::min<std::size_t>(std::size(tokens), c.context);
    Session whole(model, static_cast<std::uint32_t>(count));
    const std::vector<float> at_once = evaluate(whole, {tokens, count});
    Session single(model, static_cast<std::uint32_t>(count));
    for (std::size_t i = 0; i < count; i++) {
        const std::vector<float> one = evaluate(single, {tokens + i, 1});
        require(std::memcmp(one.data(), at_once.data() + i * c.vocab, one.size() * sizeof(float)) == 0);
    }
    Session greedy(model, static_cast<std::uint32_t>(count));
    Choice choice{};
    const Request request{.session = &greedy, .tokens = {tokens, count}, .choice = &choice};
    Evaluation{.requests = {&request, 1}, .wanted = Wanted::choice}.run([] {});
    require(choice.token == argmax(std::span(at_once).last(c.vocab)));
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    return fuzz::mutate(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        run(load(std::as_bytes(std::span(data, size))));
    } catch (const Error&) {
    }
    return 0;
}
