// Conversion: what a GGUF file is written with, and the quantisers.
#include "quantise/quantise.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/paths.h"
#include "errors.h"
#include "gguf/file.h"
#include "gguf/mix.h"
#include "gguf/named.h"
#include "gguf/writer.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using gguf::Writer;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;

const gguf::TypeInfo& type_of(const std::string& name) { return named(gguf::kTypes, name, "type"); }

// An Output that knows how long its tensors are.
class CheckedOutput {
  public:
    CheckedOutput(const Writer& writer, const std::string& path, std::vector<std::uint64_t> sizes)
        : output_(std::in_place, writer, path), sizes_(std::move(sizes)) {}

    void write(std::size_t tensor, std::uint64_t offset, const Bytes& data) {
        const auto size = static_cast<std::uint64_t>(data.size());
        if (tensor >= sizes_.size() || offset > sizes_[tensor] || size > sizes_[tensor] - offset)
            throw ArgumentError(std::to_string(size) + " bytes at " + std::to_string(offset) + " of tensor " +
                                std::to_string(tensor) + " are not within it");
        const std::span<const std::uint8_t> bytes(data.data(), size);
        const gguf::Output& output = open();
        const py::gil_scoped_release released;
        output.write(tensor, offset, std::as_bytes(bytes));
    }

    void commit() {
        gguf::Output& output = open();
        const py::gil_scoped_release released;
        output.commit([] {
            const py::gil_scoped_acquire held;
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C
        });
    }

    void close() { output_.reset(); }

  private:
    gguf::Output& open() {
        if (!output_) throw SessionError("the file is closed");
        return *output_;
    }

    std::optional<gguf::Output> output_;
    const std::vector<std::uint64_t> sizes_;
};

struct WriterHandle {
    Writer writer;
    std::vector<std::uint64_t> sizes;

    void copy(const gguf::File& file, const std::string& key) {
        const gguf::Entry* const entry = file.find(key);
        if (!entry) throw py::key_error(key);
        writer.add(*entry);
        file.check_intact();
    }
    std::size_t add_tensor(const std::string& name, const std::string& type, const std::vector<std::uint64_t>& shape) {
        const gguf::TypeInfo& format = type_of(type);
        if (shape.empty() || shape.size() > 4 || shape[0] % format.block != 0)
            throw ArgumentError(name + " has rows that are no whole blocks of " + type + ", which hold " +
                                std::to_string(format.block) + " values: choose another type");
        sizes.push_back(gguf::data_bytes(format.type, shape));
        return writer.add_tensor(name, format.type, shape);
    }
    std::unique_ptr<CheckedOutput> create(const py::object& path) const {
        const std::string name = path_bytes(path);
        const py::gil_scoped_release released;
        return std::make_unique<CheckedOutput>(writer, name, sizes);
    }
};

Bytes quantised(const std::string& name, const Floats& values, unsigned threads) {
    const gguf::TypeInfo& format = type_of(name);
    const auto count = static_cast<std::size_t>(values.size());
    Bytes out(static_cast<py::ssize_t>(count / format.block * format.bytes));
    const std::span<const float> in(values.data(), count);
    const std::span<std::uint8_t> bytes(out.mutable_data(), static_cast<std::size_t>(out.size()));
    const py::gil_scoped_release released;
    quantise(format.type, in, std::as_writable_bytes(bytes), std::max(1U, threads));
    return out;
}

std::string tensor_type(const std::string& mix, const std::string& part, std::uint64_t layer, std::uint64_t layers,
                        bool tied) {
    return std::string(info(Mix(mix, {}).type(part_of(part), layer, layers, tied)).name);
}

template <class T>
void add(WriterHandle& handle, const std::string& key, const T& value) {
    handle.writer.add(key, value);
}

}  // namespace

void bind_quantise(py::module_& m) {
    py::class_<CheckedOutput>(m, "GGUFOutput",
                              "A file being written; it takes its name with commit, and nothing remains of it without.")
        .def("write", &CheckedOutput::write, py::arg("tensor"), py::arg("offset"), py::arg("data"),
             "Bytes of the tensor with this number.")
        .def("commit", &CheckedOutput::commit)
        .def("close", &CheckedOutput::close, "Takes away what was not committed.");
    py::class_<WriterHandle>(m, "GGUFWriter",
                             "What a GGUF file will hold: metadata and tensors, all known before it is created.")
        .def(py::init<>())
        .def("add_u32", &add<std::uint32_t>, py::arg("key"), py::arg("value"))
        .def("add_f32", &add<float>, py::arg("key"), py::arg("value"))
        .def("add_bool", &add<bool>, py::arg("key"), py::arg("value"))
        .def("add_text", &add<std::string>, py::arg("key"), py::arg("value"))
        .def("add_texts", &add<std::vector<std::string>>, py::arg("key"), py::arg("values"))
        .def("add_i32s", &add<std::vector<std::int32_t>>, py::arg("key"), py::arg("values"))
        .def("copy", &WriterHandle::copy, py::arg("file"), py::arg("key"), "An entry as another file has it.")
        .def("add_tensor", &WriterHandle::add_tensor, py::arg("name"), py::arg("type"), py::arg("shape"),
             "Shape fastest first; returns the tensor's number.")
        .def("create", &WriterHandle::create, py::arg("path"), "Reserves the file.");
    m.def("tensor_type", &tensor_type, py::arg("mix"), py::arg("part"), py::arg("layer"), py::arg("layers"),
          py::arg("tied"), "The type that a mix gives a matrix.");
    m.def(
        "file_type", [](const std::string& mix) { return Mix(mix, {}).file_type(); }, py::arg("mix"),
        "general.file_type of a mix.");
    m.def(
        "block_of", [](const std::string& type) { return std::pair(type_of(type).block, type_of(type).bytes); },
        py::arg("type"), "Values in a block of a type, and its bytes.");
    m.def("quantise", &quantised, py::arg("type"), py::arg("values"), py::arg("threads"),
          "Whole blocks of values, as the file holds them.");
}

}  // namespace qwen3moe::bindings
