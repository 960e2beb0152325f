// Synthetic models: what can be written, and the writing.
#include "synth/synth.h"

#include <pybind11/stl.h>

#include <map>
#include <string>
#include <variant>

#include "bindings/bindings.h"
#include "bindings/paths.h"
#include "errors.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using Numbers = std::map<std::string, double>;
using Exceptions = std::map<std::string, std::string>;  // type by class of tensors
using Types = std::variant<std::string, Exceptions>;

constexpr unsigned kMostThreads = 1024;

// "Q4_K_M", or {"default": "Q4_K_M", "attn_v": "F16"}.
Mix mix_of(const Types& types) {
    if (const auto* name = std::get_if<std::string>(&types)) return Mix(*name, {});
    Exceptions exceptions = std::get<Exceptions>(types);
    const auto base = exceptions.extract("default");
    return Mix(base ? base.mapped() : "Q4_K_M", exceptions);
}

py::dict to_dict(const Shape& shape) {
    py::dict dict;
    for (const Field& field : shape_fields())
        std::visit([&](auto member) { dict[py::cast(field.name)] = shape.*member; }, field.member);
    return dict;
}

py::dict presets_dict() {
    py::dict dict;
    for (const Preset& preset : presets()) dict[py::cast(preset.name)] = to_dict(preset.shape);
    return dict;
}

py::list tensors_of(const std::string& preset, const Numbers& overrides, const Types& types) {
    py::list list;
    for (const SynthTensor& tensor : synth_tensors(shape_of(preset, overrides), mix_of(types))) {
        py::dict item;
        item["name"] = tensor.name;
        item["type"] = info(tensor.type).name;
        item["shape"] = py::tuple(py::cast(tensor.shape));
        item["mean"] = tensor.mean;
        item["deviation"] = tensor.deviation;
        item["outliers"] = tensor.outliers;
        list.append(item);
    }
    return list;
}

void write(const py::object& path, const std::string& preset, const Numbers& overrides, const Types& types,
           std::uint64_t seed, unsigned threads, const py::object& progress) {
    const std::string file = path_bytes(path);
    if (threads > kMostThreads)
        throw ArgumentError("threads is " + std::to_string(threads) + ", expected 0 to " +
                            std::to_string(kMostThreads));
    const Shape shape = shape_of(preset, overrides);
    const Mix mix = mix_of(types);
    const std::string name = preset + ", synthetic, seed " + std::to_string(seed);

    const auto report = [&](std::uint64_t done, std::uint64_t total) {
        const py::gil_scoped_acquire held;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C
        if (!progress.is_none()) progress(done, total);
    };
    const py::gil_scoped_release released;
    synth(file, name, shape, mix, seed, threads, report);
}

}  // namespace

void bind_synth(py::module_& m) {
    m.def("presets", &presets_dict, "The shape of each preset, by name.");
    m.def("synth_tensors", &tensors_of, py::arg("preset"), py::arg("overrides"), py::arg("types"),
          "What synth would write: name, type, shape, mean, deviation and outliers of each tensor.");
    m.def("synth", &write, py::arg("path"), py::arg("preset"), py::arg("overrides"), py::arg("types"), py::arg("seed"),
          py::arg("threads"), py::arg("progress"),
          "Writes a synthetic model; progress(done, total) in bytes may raise to cancel.");
}

}  // namespace qwen3moe::bindings
