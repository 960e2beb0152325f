"""Reads safetensors files. They are hostile until proven otherwise: every number of the header is checked, and data is
read, not mapped, so that a file that shrinks is an error and not a signal.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import CheckpointError, FileError

MOST_HEADER = 100_000_000
MOST_TENSORS = 1_000_000
SIZES = {"F32": 4, "F16": 2, "BF16": 2}
# What the format also knows; a model may carry such tensors as long as nobody asks for them.
OTHER_SIZES = {
    "F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1,
    "F8_E5M2": 1,
}  # fmt: skip

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: where its data lies. `shape` is slowest first."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int  # from the start of the file

    @property
    def width(self) -> int:
        return self.shape[-1]

    def read(self, first: int, count: int) -> Floats:
        """`count` values from the `first` on, as float32."""
        size = SIZES.get(self.dtype)
        if size is None:
            refuse(self.path, f"tensor {self.name!r}", f"type {self.dtype}", "F32, F16 or BF16")
        try:
            with open(self.path, "rb", buffering=0) as file:
                data = os.pread(file.fileno(), count * size, self.offset + first * size)
        except OSError as error:
            raise FileError(error.errno, f"cannot read {self.path}: {error.strerror}") from error
        if len(data) != count * size:
            refuse(self.path, f"tensor {self.name!r}", "an end of the file", "all of its data")
        if self.dtype == "BF16":
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(data, "<f4" if self.dtype == "F32" else "<f2").astype(np.float32)


def refuse(path: Path, place: str, found: str, expected: str) -> NoReturn:
    raise CheckpointError(f"{path}: {place}: found {found}; expected {expected}")


def read_json(path: Path, text: bytes | None = None, place: str = "the file") -> dict[str, Any]:
    """An object without a key that comes twice; of the file, or of text that is a part of it."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            refuse(path, place, "a key that comes twice", "every key once")
        return found

    if text is None:
        try:
            text = path.read_bytes()
        except OSError as error:
            raise FileError(error.errno, f"cannot read {path}: {error.strerror}") from error
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        refuse(path, place, str(error)[:100], "JSON")
    if not isinstance(document, dict):
        refuse(path, place, f"a {type(document).__name__}", "an object")
    return document


def read_header(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. Their data follows one another without gaps, as the format demands."""
    try:
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > min(MOST_HEADER, total - 8):
                refuse(path, "the header", f"a length of {length} in a file of {total} bytes", "a header within it")
            text = file.read(length)
    except OSError as error:
        raise FileError(error.errno, f"cannot read {path}: {error.strerror}") from error
    if len(text) != length:
        refuse(path, "the header", "an end of the file", "all of it")
    entries = read_json(path, text, "the header")
    entries.pop("__metadata__", None)
    if len(entries) > MOST_TENSORS:
        refuse(path, "the header", f"{len(entries)} tensors", f"at most {MOST_TENSORS}")
    tensors = [_tensor(path, name, entry, 8 + length) for name, entry in entries.items()]
    end = 8 + length
    for tensor, size in sorted(tensors, key=lambda item: (item[0].offset, item[1])):
        if tensor.offset != end:
            refuse(path, f"tensor {tensor.name!r}", f"data at byte {tensor.offset}", f"data at byte {end}")
        end += size
    if end != total:
        refuse(path, "the file", f"{total} bytes", f"{end}, the end of the last tensor")
    return {tensor.name: tensor for tensor, _ in tensors}


def _tensor(path: Path, name: str, entry: Any, data: int) -> tuple[Tensor, int]:
    """With its size in bytes."""
    place = f"tensor {name[:100]!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(path, place, "another description", "dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    size = (SIZES | OTHER_SIZES).get(dtype) if isinstance(dtype, str) else None
    if size is None:
        refuse(path, place, f"type {str(dtype)[:40]!r}", f"one of {', '.join(SIZES | OTHER_SIZES)}")
    if not _counts(shape) or len(shape) > 8:
        refuse(path, place, f"shape {str(shape)[:80]}", "a list of at most 8 sizes")
    if not _counts(offsets) or len(offsets) != 2:
        refuse(path, place, f"data_offsets {str(offsets)[:80]}", "two offsets")
    if offsets[1] - offsets[0] != prod(shape) * size:
        refuse(path, place, f"{offsets[1] - offsets[0]} bytes", f"{prod(shape) * size}, as its shape needs")
    return Tensor(path, name, dtype, tuple(shape), data + offsets[0]), offsets[1] - offsets[0]


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint: one file, or the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return read_header(folder / "model.safetensors")
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(file, str) for file in placed.values()):
        refuse(index, "weight_map", "something else", "the shard of each tensor")
    shards: dict[str, dict[str, Tensor]] = {}
    for file in sorted(set(placed.values())):
        if file != os.path.basename(file) or not file.endswith(".safetensors"):
            refuse(index, "weight_map", f"the shard {file[:100]!r}", "a safetensors file beside the index")
        shards[file] = read_header(folder / file)
    for name, file in placed.items():
        if name not in shards[file]:
            refuse(folder / file, f"tensor {name[:100]!r}", "nothing", "a tensor, as the index says")
    return {name: shards[file][name] for name, file in placed.items()}
