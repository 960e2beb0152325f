"""Traces on disk: an .npz with the arrays of `Model.trace`, the tokens, the positions and where it came from."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import ArgumentError, FileError
from qwen3moe.files import replacing
from qwen3moe.hashing import file_fingerprint
from qwen3moe.indices import Indices, select_indices
from qwen3moe.model import Model
from qwen3moe.tokens import TokenIds, as_tokens

Trace = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StoredTrace:
    """A trace read back: its arrays by key, and what was stored beside them."""

    arrays: dict[str, npt.NDArray[Any]]
    tokens: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    metadata: dict[str, Any]


def save_trace(
    path: str | os.PathLike[str],
    trace: Trace,
    tokens: TokenIds,
    positions: Indices = None,
    *,
    model: Model | None = None,
) -> None:
    """Writes a trace of all positions, or of those given; with `model`, also what it came from.

    The file appears whole or not at all.
    """
    ids = as_tokens(tokens)
    rows = select_indices(positions, len(ids), "position")
    metadata = {"version": version("qwen3moe"), **(_origin(model) if model else {})}
    entries: dict[str, Any] = {**trace, "tokens": ids, "positions": np.array(rows, dtype=np.int32)}
    with replacing(path) as draft, open(draft, "wb") as file:
        np.savez(file, **entries, metadata=np.array(json.dumps(metadata)))


def load_trace(path: str | os.PathLike[str]) -> StoredTrace:
    """Reads what `save_trace` wrote."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        tokens, positions = arrays.pop("tokens"), arrays.pop("positions")
        return StoredTrace(arrays, tokens, positions, json.loads(str(arrays.pop("metadata"))))
    except OSError as error:
        raise FileError(error.errno, f"cannot read {os.fspath(path)}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"{os.fspath(path)} is not a trace ({error}); expected an .npz from save_trace") from error


def _origin(model: Model) -> dict[str, str]:
    return {
        "model": os.path.basename(model.path),
        "fingerprint": file_fingerprint(model.path),
        "device": model.device,
    }
