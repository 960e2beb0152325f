// GGUFFile: a validated GGUF file, its metadata as Python values and its tensors as NumPy views.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <variant>

#include "bindings/bindings.h"
#include "bindings/paths.h"
#include "gguf/cursor.h"
#include "gguf/file.h"
#include "gguf/metadata.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using gguf::File;
using FilePtr = std::shared_ptr<const File>;

FilePtr open(const py::object& path) {
    const std::string name = path_bytes(path);
    const py::gil_scoped_release released;
    return File::open(name);
}

py::object to_python(const File& file, const gguf::Value& value);

py::list to_list(const File& file, const gguf::Array& array) {
    gguf::Cursor cursor(array.data, file.path(), "array");
    py::list list;
    for (std::uint64_t i = 0; i < array.length; ++i)
        list.append(to_python(file, gguf::read_value(cursor, array.element_type)));
    return list;
}

py::object to_python(const File& file, const gguf::Value& value) {
    if (const auto* array = std::get_if<gguf::Array>(&value)) return to_list(file, *array);
    if (const auto* text = std::get_if<std::string_view>(&value)) return py::str(text->data(), text->size());
    return std::visit([](const auto& scalar) { return py::cast(scalar); }, value);
}

py::object value_of(const File& file, const std::string& key) {
    const gguf::Entry* const entry = file.find(key);
    if (!entry) throw py::key_error(key);
    py::object value = to_python(file, entry->value);
    file.check_intact();
    return value;
}

py::list keys_of(const File& file) {
    py::list keys;
    for (const gguf::Entry& entry : file.metadata()) keys.append(entry.key);
    return keys;
}

py::dict describe(const gguf::Tensor& tensor) {
    py::dict description;
    description["name"] = tensor.name;
    description["type"] = info(tensor.type).name;
    description["shape"] = py::tuple(py::cast(std::vector<std::uint64_t>(tensor.shape, tensor.shape + tensor.rank)));
    description["offset"] = tensor.offset;
    description["bytes"] = tensor.data.size();
    return description;
}

py::list tensors_of(const File& file) {
    py::list tensors;
    for (const gguf::Tensor& tensor : file.tensors()) tensors.append(describe(tensor));
    return tensors;
}

py::array tensor_data(const FilePtr& file, const std::string& name) {
    const gguf::Tensor* const tensor = file->tensor(name);
    if (!tensor) throw py::key_error(name);
    // The array's base holds the file, so the mapping lives as long as any view of it.
    const py::capsule owner(new FilePtr(file), [](void* held) { delete static_cast<FilePtr*>(held); });
    py::array_t<std::uint8_t> view(static_cast<py::ssize_t>(tensor->data.size()),
                                   reinterpret_cast<const std::uint8_t*>(tensor->data.data()), owner);
    view.attr("setflags")(py::arg("write") = false);
    return view;
}

}  // namespace

py::dict metadata_of(const File& file) {
    py::dict values;
    for (const gguf::Entry& entry : file.metadata()) values[py::cast(entry.key)] = to_python(file, entry.value);
    file.check_intact();
    return values;
}

void bind_gguf(py::module_& m) {
    py::class_<File, std::shared_ptr<File>>(m, "GGUFFile", "A GGUF file (or split set), validated and mapped.")
        .def(py::init([](const py::object& path) { return std::const_pointer_cast<File>(open(path)); }),
             py::arg("path"))
        .def_property_readonly("path", [](const File& file) { return path_text(file.path()); })
        .def_property_readonly("bytes", &File::bytes, "Of all parts.")
        .def_property_readonly("version", &File::version)
        .def_property_readonly("metadata", &metadata_of, "A new dict of everything; arrays become lists.")
        .def("metadata_keys", &keys_of)
        .def("value", &value_of, py::arg("key"), "One metadata value; KeyError where absent.")
        .def_property_readonly("tensors", &tensors_of,
                               "Dicts of name, type, shape (fastest first), offset in its part, bytes.")
        .def("tensor_data", &tensor_data, py::arg("name"), "The raw bytes, a read-only view that keeps the file open.")
        .def("check_intact", &File::check_intact, py::call_guard<py::gil_scoped_release>(),
             "Raises GGUFError when the file shrank or failed since it was opened; call after reading.");
}

}  // namespace qwen3moe::bindings
