// Every failure a caller can meet. Each class becomes one Python exception (python/qwen3moe/errors.py has the same
// names).
#pragma once

#include <stdexcept>
#include <string>

namespace qwen3moe {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct GGUFError : Error {  // a file that is not what it must be
    using Error::Error;
};
struct FileError : Error {  // the operating system refused: carries errno
    FileError(int number, const std::string& what) : Error(what), code(number) {}
    int code;
};
struct ArgumentError : Error {  // a value the caller gave
    using Error::Error;
};
struct ContextFullError : Error {  // more tokens than the session's context holds
    using Error::Error;
};
struct OutOfMemoryError : Error {  // needed and available bytes stand in the message
    using Error::Error;
};
struct BackendUnavailableError : Error {  // the device asked for is not here, and why
    using Error::Error;
};
struct DeviceError : Error {  // a device failed at work; names the step
    using Error::Error;
};
struct NumericalError : Error {  // a value that is not finite; names layer and step
    using Error::Error;
};
struct SessionError : Error {  // closed, or used by two callers at once
    using Error::Error;
};
struct SessionFileError : SessionError {  // a stored session that is not what it must be
    using SessionError::SessionError;
};

}  // namespace qwen3moe
