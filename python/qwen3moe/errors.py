"""Every exception of the package. Each is a `Qwen3MoeError` and also the built-in that a caller would expect."""


class Qwen3MoeError(Exception):
    """Base of all errors of this package."""


class GGUFError(Qwen3MoeError, ValueError):
    """A file is not the GGUF model it should be; says where, what was found and what was expected."""


class CheckpointError(Qwen3MoeError, ValueError):
    """A folder is not the HuggingFace checkpoint it should be; says where, what was found and what was expected."""


class FileError(Qwen3MoeError, OSError):
    """The operating system refused a file; `errno` is set."""


class ArgumentError(Qwen3MoeError, ValueError):
    """A value that the caller gave cannot be used."""


class ContextFullError(Qwen3MoeError, RuntimeError):
    """More tokens than the session's context holds."""


class OutOfMemoryError(Qwen3MoeError, MemoryError):
    """Not enough memory; says how much is needed and how much is there."""


class BackendUnavailableError(Qwen3MoeError, RuntimeError):
    """The device asked for is not here; says why."""


class DeviceError(Qwen3MoeError, RuntimeError):
    """A device failed at work; names the step."""


class NumericalError(Qwen3MoeError, RuntimeError):
    """A value is not finite; names the layer and the step."""


class SessionError(Qwen3MoeError, RuntimeError):
    """A session is closed, or two callers use it at once."""


class SessionFileError(SessionError, ValueError):
    """A stored session is damaged, or of another model."""


class TokenizerError(Qwen3MoeError, ValueError):
    """A file's vocabulary is missing, malformed or of a kind that is not supported."""


class TemplateError(Qwen3MoeError, ValueError):
    """A chat template cannot be rendered, or does what it may not."""
