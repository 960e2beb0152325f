// Paths are bytes to the system; Python holds those that are no UTF-8 as text all the same.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace qwen3moe::bindings {

std::string path_bytes(const pybind11::object& path);  // of str, bytes or os.PathLike; refuses NUL
pybind11::str path_text(const std::string& path);

}  // namespace qwen3moe::bindings
