"""Qwen3-MoE logits from GGUF files, the same bits on every device."""

import logging
from importlib.metadata import version

from qwen3moe._core import backends
from qwen3moe.compare import Comparison, compare
from qwen3moe.diff import Divergence, TraceDiff, diff
from qwen3moe.errors import (
    ArgumentError,
    BackendUnavailableError,
    CheckpointError,
    ContextFullError,
    DeviceError,
    FileError,
    GGUFError,
    NumericalError,
    OutOfMemoryError,
    Qwen3MoeError,
    SessionError,
    SessionFileError,
    TemplateError,
    TokenizerError,
)
from qwen3moe.experts import ExpertStats
from qwen3moe.generation import Completion, Generation, Piece
from qwen3moe.hashing import sha256_logits
from qwen3moe.model import Model
from qwen3moe.perplexity import Perplexity
from qwen3moe.quantize import quantize
from qwen3moe.scoring import Score
from qwen3moe.session import Choice, Session
from qwen3moe.stages import stages
from qwen3moe.synth import synth
from qwen3moe.tiny import tiny
from qwen3moe.traces import StoredTrace, load_trace, save_trace

__all__ = [
    "ArgumentError",
    "BackendUnavailableError",
    "CheckpointError",
    "Choice",
    "Comparison",
    "Completion",
    "ContextFullError",
    "DeviceError",
    "Divergence",
    "ExpertStats",
    "FileError",
    "GGUFError",
    "Generation",
    "Model",
    "NumericalError",
    "OutOfMemoryError",
    "Perplexity",
    "Piece",
    "Qwen3MoeError",
    "Score",
    "Session",
    "SessionError",
    "SessionFileError",
    "StoredTrace",
    "TemplateError",
    "TokenizerError",
    "TraceDiff",
    "__version__",
    "backends",
    "compare",
    "diff",
    "load_trace",
    "quantize",
    "save_trace",
    "sha256_logits",
    "stages",
    "synth",
    "tiny",
]

__version__ = version("qwen3moe")

logging.getLogger("qwen3moe").addHandler(logging.NullHandler())
