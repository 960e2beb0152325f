// What the parts of the Python module share: one function per topic, each in a file of its name.
#pragma once

#include <pybind11/pybind11.h>

namespace qwen3moe::gguf {
class File;
}

namespace qwen3moe::bindings {

void bind_arithmetic(pybind11::module_& m);
void bind_errors(pybind11::module_& m);
void bind_gguf(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_quantise(pybind11::module_& m);
void bind_sampler(pybind11::module_& m);
void bind_session(pybind11::module_& m);
void bind_synth(pybind11::module_& m);

pybind11::dict metadata_of(const gguf::File& file);  // arrays become lists

}  // namespace qwen3moe::bindings
