// C++ errors become the Python exceptions of the same name in qwen3moe.errors.
#include "errors.h"

#include <cerrno>
#include <string>
#include <system_error>

#include "bindings/bindings.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

py::object exception_class(const char* name) { return py::module_::import("qwen3moe.errors").attr(name); }

void raise(const char* name, const Error& e) { PyErr_SetString(exception_class(name).ptr(), e.what()); }

void raise_file_error(const FileError& e) {  // as the built-in: (errno, message)
    py::object type = exception_class("FileError");
    PyErr_SetObject(type.ptr(), py::make_tuple(e.code, e.what()).ptr());
}

}  // namespace

void bind_errors(py::module_&) {
    py::module_::import("qwen3moe.errors");  // now: when an error is raised, no file may be left to open
    py::register_local_exception_translator([](std::exception_ptr p) {
        try {
            if (p) std::rethrow_exception(p);
        } catch (const GGUFError& e) {
            raise("GGUFError", e);
        } catch (const FileError& e) {
            raise_file_error(e);
        } catch (const ArgumentError& e) {
            raise("ArgumentError", e);
        } catch (const ContextFullError& e) {
            raise("ContextFullError", e);
        } catch (const OutOfMemoryError& e) {
            raise("OutOfMemoryError", e);
        } catch (const BackendUnavailableError& e) {
            raise("BackendUnavailableError", e);
        } catch (const DeviceError& e) {
            raise("DeviceError", e);
        } catch (const NumericalError& e) {
            raise("NumericalError", e);
        } catch (const SessionFileError& e) {
            raise("SessionFileError", e);
        } catch (const SessionError& e) {
            raise("SessionError", e);
        } catch (const std::bad_alloc&) {
            PyErr_SetString(exception_class("OutOfMemoryError").ptr(), "an allocation failed");
        } catch (const std::system_error& e) {  // the only calls that throw it start threads
            raise("OutOfMemoryError", OutOfMemoryError(std::string("a thread cannot be started: ") + e.what()));
        }
    });
}

}  // namespace qwen3moe::bindings
