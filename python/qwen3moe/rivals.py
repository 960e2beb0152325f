"""Other engines that `bench` times on the same file, in turn with this one."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from qwen3moe.errors import ArgumentError, BackendUnavailableError, FileError


class Engine(Protocol):
    """One sequence of tokens in an engine."""

    def eval(self, tokens: Sequence[int]) -> None: ...
    def truncate(self, position: int) -> None: ...
    def close(self) -> None: ...


class LlamaCpp:
    """llama.cpp on the CPU, by way of llama-cpp-python."""

    def __init__(self, path: str, threads: int, context: int) -> None:
        self._api = _llama_cpp()
        self._quiet = self._api.llama_log_callback(lambda level, text, data: None)
        self._api.llama_log_set(self._quiet, ctypes.c_void_p(0))
        self._api.llama_backend_init()
        options = self._api.llama_model_default_params()
        options.n_gpu_layers = 0
        self._model = self._api.llama_model_load_from_file(path.encode(), options)
        if not self._model:
            raise FileError(0, f"llama.cpp cannot open {path}")
        settings = self._api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = context
        settings.n_threads = settings.n_threads_batch = threads
        self._context = self._api.llama_init_from_model(self._model, settings)
        if not self._context:
            self._api.llama_model_free(self._model)
            raise FileError(0, f"llama.cpp cannot make a context of {context} tokens for {path}")

    def eval(self, tokens: Sequence[int]) -> None:
        ids = (ctypes.c_int32 * len(tokens))(*tokens)
        if self._api.llama_decode(self._context, self._api.llama_batch_get_one(ids, len(tokens))) != 0:
            raise ArgumentError(f"llama.cpp cannot evaluate {len(tokens)} tokens")
        self._api.llama_get_logits(self._context)  # waits for them

    def truncate(self, position: int) -> None:
        self._api.llama_memory_seq_rm(self._api.llama_get_memory(self._context), 0, position, -1)

    def close(self) -> None:
        self._api.llama_free(self._context)
        self._api.llama_model_free(self._model)


def _llama_cpp() -> Any:
    try:
        return importlib.import_module("llama_cpp")
    except ImportError as error:
        raise BackendUnavailableError(
            f"llama-cpp-python cannot be used: {error}. Install it with: pip install 'qwen3moe[llama-cpp]'"
        ) from error


RIVALS: dict[str, Callable[[str, int, int], Engine]] = {"llama.cpp": LlamaCpp}


def open_rival(name: str, path: str, threads: int, context: int) -> Engine:
    """An engine by its name, with room for `context` tokens."""
    if name not in RIVALS:
        raise ArgumentError(f"there is no engine {name!r:.40} to compare with; expected one of {', '.join(RIVALS)}")
    return RIVALS[name](path, threads, context)
