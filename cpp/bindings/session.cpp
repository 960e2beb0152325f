// _core.Session: evaluation, traces, forks.
#include "model/session.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <set>

#include "bindings/bindings.h"
#include "bindings/handles.h"
#include "bindings/python_poll.h"
#include "bindings/registration.h"
#include "errors.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using Tokens = py::array_t<std::int32_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;

std::span<const std::int32_t> span_of(const Tokens& tokens) {
    if (tokens.ndim() != 1) throw ArgumentError("tokens have " + std::to_string(tokens.ndim()) + " dimensions, not 1");
    return {tokens.data(), static_cast<std::size_t>(tokens.size())};
}

Wanted wanted_of(const std::string& positions) {
    if (positions == "none") return Wanted::none;
    if (positions == "last") return Wanted::last;
    if (positions == "all") return Wanted::all;
    throw ArgumentError("positions is '" + positions + "'; it is 'last', 'all' or 'none'");
}

// The caller's array when it fits, a new one otherwise.
Floats output_of(const py::object& out, const std::vector<py::ssize_t>& shape) {
    if (out.is_none()) return Floats(shape);
    if (!py::isinstance<Floats>(out)) throw ArgumentError("out is not a C-contiguous float32 array");
    Floats array = py::reinterpret_borrow<Floats>(out);
    if (!array.writeable()) throw ArgumentError("out cannot be written to");
    if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
        std::string expected;
        for (py::ssize_t n : shape) expected += (expected.empty() ? "" : ", ") + std::to_string(n);
        throw ArgumentError("out has another shape than [" + expected + "]");
    }
    return array;
}

void evaluate(Evaluation& evaluation, const py::object& progress) {
    if (!progress.is_none())
        evaluation.progress = [&progress](std::size_t done, std::size_t total) {
            py::gil_scoped_acquire gil;
            progress(done, total);
        };
    PythonPoll poll;
    py::gil_scoped_release release;
    evaluation.run(std::ref(poll));
}

py::object eval(Session& session, const Tokens& tokens, const std::string& positions, const py::object& out,
                const py::object& progress) {
    const Wanted wanted = wanted_of(positions);
    const auto vocab = static_cast<py::ssize_t>(session.model().config.vocab);
    std::vector<py::ssize_t> shape{vocab};
    if (wanted == Wanted::all) shape.insert(shape.begin(), tokens.size());
    py::object logits = py::none();
    float* destination = nullptr;
    if (wanted != Wanted::none) {
        Floats array = output_of(out, shape);
        destination = array.mutable_data();
        logits = out.is_none() ? py::object(array) : out;
    }
    const Request request{&session, span_of(tokens), destination};
    Evaluation evaluation{.requests = {&request, 1}, .wanted = wanted};
    evaluate(evaluation, progress);
    return logits;
}

void require_pairs(const std::vector<Session*>& sessions, const std::vector<Tokens>& tokens) {
    if (sessions.empty() || sessions.size() != tokens.size())
        throw ArgumentError(std::to_string(sessions.size()) + " sessions and " + std::to_string(tokens.size()) +
                            " lists of tokens; give one list per session");
}

py::list eval_batch(const std::vector<Session*>& sessions, const std::vector<Tokens>& tokens,
                    const std::string& positions, const py::object& progress) {
    const Wanted wanted = wanted_of(positions);
    require_pairs(sessions, tokens);
    py::list logits;
    std::vector<Request> requests;
    for (std::size_t i = 0; i < sessions.size(); i++) {
        std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(sessions[i]->model().config.vocab)};
        if (wanted == Wanted::all) shape.insert(shape.begin(), tokens[i].size());
        if (wanted == Wanted::none) shape = {0};
        Floats array(shape);
        requests.push_back({sessions[i], span_of(tokens[i]), array.mutable_data()});
        logits.append(array);
    }
    Evaluation evaluation{.requests = requests, .wanted = wanted};
    evaluate(evaluation, progress);
    return logits;
}

// The token to come, and its log-probability.
using Chosen = std::pair<std::uint32_t, float>;

std::vector<Chosen> choose_batch(const std::vector<Session*>& sessions, const std::vector<Tokens>& tokens,
                                 const py::object& progress) {
    require_pairs(sessions, tokens);
    std::vector<Choice> choices(sessions.size());
    std::vector<Request> requests;
    for (std::size_t i = 0; i < sessions.size(); i++)
        requests.push_back({.session = sessions[i], .tokens = span_of(tokens[i]), .choice = &choices[i]});
    Evaluation evaluation{.requests = requests, .wanted = Wanted::choice};
    evaluate(evaluation, progress);
    std::vector<Chosen> chosen;
    for (const Choice& choice : choices) chosen.emplace_back(choice.token, choice.log_probability);
    return chosen;
}

// Keeps the wanted positions of every captured stage.
class Collector final : public CaptureSink {
  public:
    struct Captured {
        Stage stage;
        std::uint32_t layer;
        std::size_t rows_seen = 0;
        std::size_t row_values = 0;
        std::vector<std::uint32_t> values;  // four-byte floats or ints, as bits
    };

    Collector(std::size_t rows, const std::optional<std::vector<std::size_t>>& positions) : keep_(rows, !positions) {
        if (!positions) return;
        for (std::size_t p : *positions) {
            if (p >= rows)
                throw ArgumentError("position " + std::to_string(p) + " is not among the " + std::to_string(rows) +
                                    " tokens");
            keep_[p] = true;
        }
    }

    void put(const Stage& stage, std::uint32_t layer, const void* data, std::size_t rows, std::size_t bytes) override {
        Captured& c = captured_[{layer, std::string(stage.name)}];
        c.stage = stage;
        c.layer = layer;
        c.row_values = bytes / sizeof(std::uint32_t);
        const auto* values = static_cast<const std::uint32_t*>(data);
        for (std::size_t r = 0; r < rows; r++, c.rows_seen++)
            if (keep_[c.rows_seen])
                c.values.insert(c.values.end(), values + r * c.row_values, values + (r + 1) * c.row_values);
    }

    // In no particular order: the package orders the names.
    py::dict arrays(const Config& config) const {
        py::dict dict;
        for (const auto& [key, c] : captured_) {
            const auto rows = static_cast<py::ssize_t>(c.values.size() / c.row_values);
            std::vector<py::ssize_t> shape{rows, static_cast<py::ssize_t>(c.row_values)};
            const Buffer b = c.stage.buffer;
            if (b == Buffer::gate || b == Buffer::up || b == Buffer::swiglu || b == Buffer::expert_out) {
                shape[1] /= config.experts_used;
                shape.insert(shape.begin() + 1, config.experts_used);
            }
            const py::dtype type = b == Buffer::expert_ids ? py::dtype::of<std::int32_t>() : py::dtype::of<float>();
            const std::string layer = c.layer == kNoLayer ? "" : "layers." + std::to_string(c.layer) + ".";
            dict[py::str(layer + std::string(c.stage.name))] = py::array(type, shape, c.values.data());
        }
        return dict;
    }

  private:
    std::vector<bool> keep_;
    std::map<std::pair<std::uint32_t, std::string>, Captured> captured_;
};

py::dict trace(Session& session, const Tokens& tokens, const std::vector<std::string>& stages,
               const std::vector<std::uint32_t>& layers, const std::optional<std::vector<std::size_t>>& positions) {
    const Model& model = session.model();
    const std::set<std::string, std::less<>> stage_set(stages.begin(), stages.end());
    const std::set<std::uint32_t> layer_set(layers.begin(), layers.end());
    for (std::uint32_t layer : layer_set)
        if (layer >= model.config.layers)
            throw ArgumentError("layer " + std::to_string(layer) + " is not there; the model has " +
                                std::to_string(model.config.layers));
    const Plan plan = with_captures(model.plan, [&](std::string_view stage, std::uint32_t layer) {
        return stage_set.contains(stage) && (layer == kNoLayer || layer_set.contains(layer));
    });
    const auto rows = span_of(tokens);
    Collector collector(rows.size(), positions);
    const bool head = stage_set.contains("logits") || stage_set.contains("final_norm");
    std::vector<float> logits(head ? rows.size() * model.config.vocab : 0);
    const Request request{&session, rows, logits.data()};
    Evaluation evaluation{
        .requests = {&request, 1}, .wanted = head ? Wanted::all : Wanted::none, .traced = &plan, .sink = &collector};
    evaluate(evaluation, py::none());
    return collector.arrays(model.config);
}

void read_cache(Session& session, const py::function& take) {
    py::gil_scoped_release release;
    session.read([&](std::span<const std::byte> bytes) {
        py::gil_scoped_acquire gil;
        take(py::memoryview::from_memory(bytes.data(), static_cast<py::ssize_t>(bytes.size())));
    });
}

void write_cache(Session& session, const Tokens& tokens, const py::function& fill) {
    const auto ids = span_of(tokens);
    py::gil_scoped_release release;
    session.write(ids, [&](std::span<std::byte> bytes) {
        py::gil_scoped_acquire gil;
        fill(py::memoryview::from_memory(bytes.data(), static_cast<py::ssize_t>(bytes.size())));
    });
}

}  // namespace

void bind_session(py::module_& m) {
    py::class_<Session> type(m, "Session", py::is_final(), "The cache of one sequence; for one caller at a time.");
    Registration<Session>::keep_memory_for(type);
    type.def_property_readonly("context", &Session::context)
        .def_property_readonly("position", &Session::position)
        .def_property_readonly("tokens",
                               [](const Session& s) {
                                   return py::array_t<std::int32_t>(static_cast<py::ssize_t>(s.tokens().size()),
                                                                    s.tokens().data());
                               })
        .def("eval", eval, py::arg("tokens").noconvert(), py::kw_only(), py::arg("positions") = "last",
             py::arg("out") = py::none(), py::arg("progress") = py::none())
        .def("trace", trace, py::arg("tokens").noconvert(), py::arg("stages"), py::arg("layers"),
             py::arg("positions") = py::none())
        .def("fork", &Session::fork, py::call_guard<py::gil_scoped_release>())
        .def("truncate", &Session::truncate, py::arg("position"))
        .def("read", read_cache, py::arg("take"), "Calls take(bytes) for each layer of the cache.")
        .def("write", write_cache, py::arg("tokens").noconvert(), py::arg("fill"),
             "Calls fill(bytes to be set) for each layer; the session is empty before.")
        .def("close", &Session::close);
    m.attr("Model").attr("session") = py::cpp_function(
        [](const ModelHandle& h, std::uint32_t context) {
            auto model = h.get();
            py::gil_scoped_release release;
            return std::make_unique<Session>(model, context);
        },
        py::name("session"), py::is_method(m.attr("Model")), py::arg("context"));
    m.attr("Model").attr("owns") =
        py::cpp_function([](const ModelHandle& h, const Session& s) { return h.get().get() == &s.model(); },
                         py::name("owns"), py::is_method(m.attr("Model")), py::arg("session"));
    m.def("eval_batch", eval_batch, py::arg("sessions"), py::arg("tokens"), py::kw_only(),
          py::arg("positions") = "last", py::arg("progress") = py::none());
    m.def("choose_batch", choose_batch, py::arg("sessions"), py::arg("tokens"), py::kw_only(),
          py::arg("progress") = py::none(),
          "The most likely token after each, chosen by the device, and its log-probability.");
}

}  // namespace qwen3moe::bindings
