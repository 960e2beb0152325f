#include "model/sampler.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "errors.h"
#include "shared/choose.h"
#include "shared/philox.h"

// Loops over all logits are compiled for each set of vector instructions, and the loader takes the processor's. Such a
// function may not throw: GCC 12's callers of it do not expect that, and the process ends. The loader chooses before a
// sanitizer has begun, which would watch the choice.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define QM_CLONED [[gnu::target_clones("default", "avx2", "avx512f")]]
#else
#define QM_CLONED
#endif

namespace qwen3moe {
namespace {

void check(std::span<const float> logits) {
    std::uint32_t possible = 0, wrong = 0;
    const auto is_wrong = [](float x) { return qm_abs_bits(x) > QM_INFINITY_BITS || qm_bits(x) == QM_INFINITY_BITS; };
    for (const float x : logits) {
        possible |= qm_abs_bits(x) < QM_INFINITY_BITS;
        wrong |= is_wrong(x);
    }
    if (wrong) {
        const auto at = std::ranges::find_if(logits, is_wrong);
        throw ArgumentError("logit " + std::to_string(at - logits.begin()) + " is " + std::to_string(*at) +
                            "; expected finite numbers, or -inf for tokens that may not come");
    }
    if (!possible) throw ArgumentError("every logit is -inf; one token at least must be possible");
}

QM_CLONED float largest(std::span<const float> logits) noexcept {
    constexpr std::size_t kLanes = 64;
    float m[kLanes];
    for (std::size_t j = 0; j < kLanes; j++) m[j] = logits[0];
    const std::size_t whole = logits.size() / kLanes * kLanes;
    for (std::size_t i = 0; i < whole; i += kLanes)
        for (std::size_t j = 0; j < kLanes; j++) m[j] = qm_max(logits[i + j], m[j]);
    for (std::size_t i = whole; i < logits.size(); i++) m[0] = qm_max(logits[i], m[0]);
    for (std::size_t j = 1; j < kLanes; j++) m[0] = qm_max(m[j], m[0]);
    return m[0];
}

// Of exp(logit - maximum): 256 strided partial sums, then the halving tree.
QM_CLONED float sum_of_exponentials(std::span<const float> logits, float maximum) noexcept {
    alignas(64) float p[256] = {};
    const std::size_t whole = logits.size() / 256 * 256;
    for (std::size_t i = 0; i < whole; i += 256)
        for (std::size_t j = 0; j < 256; j++) p[j] = qm_add(p[j], qm_probability(logits[i + j], maximum));
    for (std::size_t i = whole; i < logits.size(); i++)
        p[i - whole] = qm_add(p[i - whole], qm_probability(logits[i], maximum));
    for (std::size_t half = 128; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; i++) p[i] = qm_add(p[i], p[i + half]);
    return p[0];
}

// Positive logits are divided, others multiplied: both make a token less likely where the penalty is above 1.
void penalise(std::vector<float>& logits, std::span<const std::int32_t> before, float penalty) {
    const float inverse = qm_recip(penalty);
    std::vector<bool> done(logits.size());
    for (const std::int32_t token : before) {
        const auto i = static_cast<std::size_t>(token);
        if (token < 0 || i >= logits.size())
            throw ArgumentError("token " + std::to_string(token) + " is not among the " +
                                std::to_string(logits.size()) + " of the vocabulary");
        if (done[i]) continue;
        done[i] = true;
        logits[i] = qm_settle(qm_mul(logits[i], qm_bits(logits[i]) < 0x80000000u ? inverse : penalty));
    }
}

// Whole units of 2^-39 in a weight from 0 to 1.
inline std::uint64_t units(float weight) {
    const std::uint32_t bits = qm_bits(weight);
    const std::uint64_t of_one = std::uint64_t((bits & 0x7fffffu) | 0x800000u) << (kUnitBits - 23);
    return of_one >> std::min(127u - (bits >> 23), 63u);
}

struct Candidate {
    std::uint64_t units;
    float logit;
    std::uint32_t token;
};
bool more_likely(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

std::uint64_t sum(const std::vector<Candidate>& candidates) {
    std::uint64_t total = 0;
    for (const Candidate& c : candidates) total += c.units;
    return total;
}

std::uint64_t share_of(std::uint64_t total, std::uint64_t share) {
    constexpr std::uint64_t kLow = (std::uint64_t(1) << kShareBits) - 1;
    return (total >> kShareBits) * share + ((total & kLow) * share >> kShareBits);
}

QM_CLONED void weigh(std::span<const float> logits, float maximum, float inverse, std::span<float> weights) noexcept {
    for (std::size_t i = 0; i < logits.size(); i++) weights[i] = qm_exp(qm_mul(qm_sub(logits[i], maximum), inverse));
}

// Of the weights of at least `least`: how many there are, and their units.
struct Above {
    float least = 0;
    std::uint64_t count = 0, units = 0;
};
QM_CLONED Above above(std::span<const float> weights, float least) noexcept {
    std::uint64_t count = 0, sum = 0;
    for (const float weight : weights) {
        count += weight >= least ? 1 : 0;
        sum += weight >= least ? units(weight) : 0;
    }
    return {least, count, sum};
}

// As few of the largest weights as easily found, among which is all that stays: weights never fall as logits rise.
// wanted: units, where top_p asks for some of all.
Above enough(std::span<const float> weights, const Sampling& sampling, std::uint64_t wanted) {
    const Above all{0, weights.size(), 0};
    if (sampling.top_k == 0 && wanted == 0)
        return sampling.min_p == 0 ? all
                                   : above(weights, static_cast<float>(std::bit_floor(sampling.min_p)) * 0x1p-39f);
    for (const float least : {0x1p-8f, 0x1p-16f, 0x1p-24f}) {
        const Above found = above(weights, least);
        if (found.count >= sampling.top_k && found.units >= wanted) return found;
    }
    return all;
}

// In rising order of tokens; those without a whole unit can never come.
std::vector<Candidate> candidates_of(std::span<const float> logits, std::span<const float> weights, const Above& some) {
    std::vector<Candidate> candidates;
    candidates.reserve(some.count);
    for (std::uint32_t i = 0; i < logits.size(); i++) {
        if (weights[i] < some.least) continue;
        if (const std::uint64_t whole = units(weights[i])) candidates.push_back({whole, logits[i], i});
    }
    return candidates;
}

void keep_top_k(std::vector<Candidate>& candidates, std::uint32_t k) {
    if (k == 0 || k >= candidates.size()) return;
    std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(), more_likely);
    candidates.resize(k);
}

// The fewest of the likeliest whose units are as many as wanted; sorted only as far as that takes.
void keep_top_p(std::vector<Candidate>& candidates, std::uint64_t wanted) {
    std::uint64_t reached = 0;
    std::size_t kept = 0, sorted = 0;
    while (kept == 0 || reached < wanted) {
        if (kept == sorted) {
            sorted = std::min(candidates.size(), 4 * sorted + 64);
            const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(kept);
            const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
            std::nth_element(first, last, candidates.end(), more_likely);
            std::sort(first, last, more_likely);
        }
        reached += candidates[kept++].units;
    }
    candidates.resize(kept);
}

std::uint64_t mul_high(std::uint64_t x, std::uint64_t y) {
    constexpr std::uint64_t kLow = 0xffffffffu;
    const std::uint64_t low = (x & kLow) * (y & kLow);
    const std::uint64_t middle = (x >> 32) * (y & kLow) + (low >> 32);
    const std::uint64_t other = (x & kLow) * (y >> 32) + (middle & kLow);
    return (x >> 32) * (y >> 32) + (middle >> 32) + (other >> 32);
}

std::uint32_t draw(std::vector<Candidate>& candidates, std::uint64_t seed, std::uint64_t position) {
    const auto by_token = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
    if (!std::is_sorted(candidates.begin(), candidates.end(), by_token))
        std::sort(candidates.begin(), candidates.end(), by_token);
    const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    const QmWords words = qm_philox({low(position), low(position >> 32), 0, 0}, low(seed), low(seed >> 32));
    std::uint64_t left = mul_high(std::uint64_t(words.b) << 32 | words.a, sum(candidates));
    for (const Candidate& c : candidates) {
        if (left < c.units) return c.token;
        left -= c.units;
    }
    return candidates.back().token;  // not reached: `left` is below the sum
}

}  // namespace

std::uint32_t argmax(std::span<const float> logits) {
    return static_cast<std::uint32_t>(std::ranges::find(logits, largest(logits)) - logits.begin());
}

std::uint32_t choose(std::span<const float> logits, std::span<const std::int32_t> before, const Sampling& sampling,
                     std::uint64_t position) {
    check(logits);
    std::vector<float> penalised;
    if (sampling.penalty != 1) {
        penalised.assign(logits.begin(), logits.end());
        penalise(penalised, before, sampling.penalty);
        logits = penalised;
    }
    if (sampling.temperature == 0) return argmax(logits);
    std::vector<float> weights(logits.size());
    weigh(logits, largest(logits), qm_recip(sampling.temperature), weights);
    const bool shared = sampling.top_p >> kShareBits == 0;
    std::uint64_t wanted = shared && sampling.top_k == 0 ? share_of(above(weights, 0).units, sampling.top_p) : 0;
    std::vector<Candidate> candidates = candidates_of(logits, weights, enough(weights, sampling, wanted));
    keep_top_k(candidates, sampling.top_k);
    if (shared && sampling.top_k != 0) wanted = share_of(sum(candidates), sampling.top_p);
    if (shared) keep_top_p(candidates, wanted);
    std::erase_if(candidates, [&](const Candidate& c) { return c.units < sampling.min_p; });
    return draw(candidates, sampling.seed, position);
}

Scored score(std::span<const float> logits, std::uint32_t token) {
    const std::uint32_t best = argmax(logits);
    const float sum = sum_of_exponentials(logits, logits[best]);
    return {qm_log_probability(logits[token], logits[best], sum), token == best};
}

}  // namespace qwen3moe
