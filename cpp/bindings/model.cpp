// _core.Model, the list of devices, and the names of the stages.
#include "model/model.h"

#include <pybind11/stl.h>

#include <optional>

#include "bindings/bindings.h"
#include "bindings/handles.h"
#include "bindings/paths.h"
#include "bindings/python_poll.h"
#include "bindings/registration.h"
#include "errors.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

py::dict config_dict(const Config& c) {
    using namespace py::literals;
    return py::dict("layers"_a = c.layers, "width"_a = c.width, "heads"_a = c.heads, "kv_heads"_a = c.kv_heads,
                    "head_dim"_a = c.head_dim, "experts"_a = c.experts, "experts_used"_a = c.experts_used,
                    "ff"_a = c.ff, "vocab"_a = c.vocab, "context"_a = c.context, "eps"_a = c.eps,
                    "rope_base"_a = c.rope_base, "renormalise"_a = c.renormalise);
}

std::uint64_t weight_bytes(const Model& model) {
    std::uint64_t bytes = 0;
    for (const gguf::Tensor& t : model.file->tensors()) bytes += t.data.size();
    return bytes;
}

py::list tensor_list(const Model& model) {
    using namespace py::literals;
    py::list list;
    for (const gguf::Tensor& t : model.file->tensors()) {
        py::tuple shape(t.rank);
        for (std::uint32_t i = 0; i < t.rank; i++) shape[i] = t.shape[i];
        list.append(
            py::dict("name"_a = t.name, "type"_a = info(t.type).name, "shape"_a = shape, "bytes"_a = t.data.size()));
    }
    return list;
}

// Of each tensor all bytes, or pieces spread evenly over it: tells models apart without reading them whole.
py::bytes weight_samples(const Model& model) {
    constexpr std::size_t kPieces = 16, kPieceBytes = 4096;
    std::string samples;
    {
        py::gil_scoped_release release;
        for (const gguf::Tensor& t : model.file->tensors()) {
            const std::string_view data{reinterpret_cast<const char*>(t.data.data()), t.data.size()};
            if (data.size() <= kPieces * kPieceBytes)
                samples += data;
            else
                for (std::size_t i = 0; i < kPieces; i++)
                    samples += data.substr((data.size() - kPieceBytes) / (kPieces - 1) * i, kPieceBytes);
        }
        model.file->check_intact();
    }
    return samples;
}

std::vector<std::string> plan_lines(const Model& model) {
    std::vector<std::string> lines;
    for (const Step& step : model.plan.steps) lines.push_back(describe(step));
    return lines;
}

py::list device_list() {
    using namespace py::literals;
    py::list list;
    for (const Device& d : devices())
        list.append(py::dict("device"_a = d.name, "available"_a = d.available, "description"_a = d.description,
                             "software"_a = d.software));
    return list;
}

}  // namespace

void bind_model(py::module_& m) {
    py::class_<ModelHandle> type(m, "Model", py::is_final(),
                                 "A GGUF model opened on one device; immutable, shared by threads.");
    Registration<ModelHandle>::keep_memory_for(type);
    type.def(py::init([](const py::object& path, const std::string& device, unsigned threads,
                         std::optional<std::uint32_t> batch) {
                 if (threads > 4096) throw ArgumentError("threads is " + std::to_string(threads) + "; at most 4096");
                 if (batch && (*batch == 0 || *batch > 8192))
                     throw ArgumentError("batch is " + std::to_string(*batch) + "; it is 1 to 8192 rows");
                 const std::string file = path_bytes(path);
                 py::gil_scoped_release release;
                 return std::make_unique<ModelHandle>(open_model(file, device, {threads, batch, PythonPoll()}));
             }),
             py::arg("path"), py::arg("device") = "cpu", py::kw_only(), py::arg("threads") = 0,
             py::arg("batch") = py::none())
        .def_property_readonly("path", [](const ModelHandle& h) { return path_text(h.get()->file->path()); })
        .def_property_readonly("device", [](const ModelHandle& h) { return h.get()->device; })
        .def_property_readonly("config", [](const ModelHandle& h) { return config_dict(h.get()->config); })
        .def_property_readonly("threads", [](const ModelHandle& h) { return h.get()->executor->threads(); })
        .def_property_readonly("batch", [](const ModelHandle& h) { return h.get()->executor->batch_rows(); })
        .def_property_readonly("weight_bytes", [](const ModelHandle& h) { return weight_bytes(*h.get()); })
        .def("plan", [](const ModelHandle& h) { return plan_lines(*h.get()); })
        .def("tensors", [](const ModelHandle& h) { return tensor_list(*h.get()); })
        .def("weight_samples", [](const ModelHandle& h) { return weight_samples(*h.get()); })
        .def("metadata", [](const ModelHandle& h) { return metadata_of(*h.get()->file); })
        .def("close", [](ModelHandle& h) { h.close(); });
    m.def("backends", device_list);
    m.def("stages", [] { return stage_names(); });
}

}  // namespace qwen3moe::bindings
