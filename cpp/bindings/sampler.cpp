// _core.sampling: the choice of a token from logits, and log-probabilities.
#include "model/sampler.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <string>

#include "backend/pool.h"
#include "bindings/bindings.h"
#include "bindings/python_poll.h"
#include "errors.h"
#include "shared/log.h"
#include "shared/philox.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using Tokens = py::array_t<std::int32_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;
using Words = py::array_t<std::uint32_t, py::array::c_style>;

double within(const char* name, double value, double least, double most) {
    if (value >= least && value <= most) return value;
    throw ArgumentError(std::string(name) + " is " + std::string(py::repr(py::float_(value))) + "; expected " +
                        std::string(py::repr(py::float_(least))) + " to " + std::string(py::repr(py::float_(most))));
}

constexpr double kLeast = 0x1p-20, kMost = 0x1p20;

std::uint32_t choose_token(const Floats& logits, const Tokens& before, double temperature, std::uint32_t top_k,
                           double top_p, double min_p, double repetition_penalty, std::uint64_t seed,
                           std::uint64_t position) {
    if (logits.ndim() != 1 || logits.size() == 0 || before.ndim() != 1)
        throw ArgumentError("logits and tokens are not lists");
    if (temperature != 0) within("temperature", temperature, kLeast, kMost);
    within("top_p", top_p, kLeast, 1);
    const Sampling sampling{
        .temperature = static_cast<float>(temperature),
        .penalty = static_cast<float>(within("repetition_penalty", repetition_penalty, kLeast, kMost)),
        .top_k = top_k,
        .top_p = static_cast<std::uint32_t>(std::llrint(std::ldexp(top_p, kShareBits))),
        .min_p = static_cast<std::uint64_t>(std::llrint(std::ldexp(within("min_p", min_p, 0, 1), kUnitBits))),
        .seed = seed};
    const std::span row{logits.data(), static_cast<std::size_t>(logits.size())};
    const std::span tokens{before.data(), static_cast<std::size_t>(before.size())};
    py::gil_scoped_release release;
    return choose(row, tokens, sampling, position);
}

// Rows share the threads; none needs another's result.
py::tuple log_probabilities(const Floats& logits, const Tokens& targets, unsigned threads) {
    if (logits.ndim() != 2 || targets.ndim() != 1 || logits.shape(0) != targets.shape(0))
        throw ArgumentError("expected a row of logits for each target");
    const auto rows = static_cast<std::uint32_t>(logits.shape(0));
    const auto vocab = static_cast<std::size_t>(logits.shape(1));
    for (std::uint32_t r = 0; r < rows; r++)
        if (targets.data()[r] < 0 || static_cast<std::size_t>(targets.data()[r]) >= vocab)
            throw ArgumentError("token " + std::to_string(r) + " is " + std::to_string(targets.data()[r]) +
                                "; the vocabulary has 0 to " + std::to_string(vocab - 1));
    Floats found(logits.shape(0));
    py::array_t<bool> best(logits.shape(0));
    const auto work = [&, of = found.mutable_data(), is_best = best.mutable_data()](cpu::Range range) {
        for (std::uint32_t r = range.first; r < range.last; r++) {
            const Scored scored =
                score({logits.data() + r * vocab, vocab}, static_cast<std::uint32_t>(targets.data()[r]));
            of[r] = scored.log_probability;
            is_best[r] = scored.best;
        }
    };
    PythonPoll poll;
    {
        py::gil_scoped_release release;
        Pool(std::min(rows / 4 + 1, threads == 0 ? usable_processors() : threads)).run(rows, 1, work, std::ref(poll));
    }
    return py::make_tuple(found, best);
}

std::uint32_t argmax_of(const Floats& logits) {
    if (logits.ndim() != 1 || logits.size() == 0) throw ArgumentError("logits are not a list");
    return argmax({logits.data(), static_cast<std::size_t>(logits.size())});
}

Words logarithm(const Words& x) {
    Words y(x.size());
    for (py::ssize_t i = 0; i < x.size(); i++) y.mutable_data()[i] = qm_bits(qm_log(qm_from_bits(x.data()[i])));
    return y;
}

std::array<std::uint32_t, 4> philox(const std::array<std::uint32_t, 4>& counter,
                                    const std::array<std::uint32_t, 2>& key) {
    const QmWords w = qm_philox({counter[0], counter[1], counter[2], counter[3]}, key[0], key[1]);
    return {w.a, w.b, w.c, w.d};
}

}  // namespace

void bind_sampler(py::module_& parent) {
    py::module_ m = parent.def_submodule("sampling", "The choice of a token, and log-probabilities.");
    m.def("choose", choose_token, py::arg("logits").noconvert(), py::arg("before").noconvert(), py::kw_only(),
          py::arg("temperature") = 0.0, py::arg("top_k") = 0, py::arg("top_p") = 1.0, py::arg("min_p") = 0.0,
          py::arg("repetition_penalty") = 1.0, py::arg("seed") = 0, py::arg("position") = 0);
    m.def("log_probabilities", log_probabilities, py::arg("logits").noconvert(), py::arg("targets").noconvert(),
          py::kw_only(), py::arg("threads") = 0,
          "Of a token for each row of logits, and whether it is the row's argmax.");
    m.def("argmax", argmax_of, py::arg("logits").noconvert());
    m.def("log", logarithm, py::arg("x").noconvert(), "Bits in, bits out.");
    m.def("philox", philox, py::arg("counter"), py::arg("key"));
}

}  // namespace qwen3moe::bindings
