"""Conversion: a HuggingFace checkpoint or a GGUF file becomes a GGUF file of other types."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe._core import GGUFFile, GGUFOutput, GGUFWriter
from qwen3moe.checkpoint.config import read_config
from qwen3moe.checkpoint.safetensors import read_folder
from qwen3moe.checkpoint.tensors import Stacked, Stacking
from qwen3moe.checkpoint.vocabulary import read_vocabulary
from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError, NumericalError
from qwen3moe.model import Model
from qwen3moe.progress import Progress, ProgressFunction, reporting

TYPES = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
PIECE = 1 << 22  # values in memory at once

Floats: TypeAlias = npt.NDArray[np.float32]


class Source(Protocol):
    """What can be converted. Tensors' shapes are fastest first."""

    shapes: dict[str, tuple[int, ...]]
    layers: int

    def write_metadata(self, writer: GGUFWriter) -> None: ...
    def values(self, name: str) -> Iterator[Floats]: ...


class Checkpoint:
    """A folder of safetensors with config.json and a tokenizer."""

    def __init__(self, folder: Path) -> None:
        self._name = folder.resolve().name
        self._config = read_config(folder / "config.json")
        stacked = Stacking(folder, read_folder(folder), self._config).all()
        self._vocabulary = read_vocabulary(folder, self._config.vocab)
        self._stacked: dict[str, Stacked] = {tensor.name: tensor for tensor in stacked}
        self.shapes = {tensor.name: tensor.shape for tensor in stacked}
        self.layers = self._config.layers

    def write_metadata(self, writer: GGUFWriter) -> None:
        writer.add_text("general.architecture", "qwen3moe")
        writer.add_text("general.type", "model")
        writer.add_text("general.name", self._name)
        self._config.write(writer)
        if self._vocabulary is not None:
            self._vocabulary.write(writer)

    def values(self, name: str) -> Iterator[Floats]:
        for part in self._stacked[name].parts:
            first, count = part.first * part.tensor.width, part.rows * part.tensor.width
            for at, size in _pieces(count, part.tensor.width):
                yield part.tensor.read(first + at, size)


class Converted:
    """A GGUF file of a Qwen3-MoE, of any types."""

    REPLACED = ("general.file_type", "general.quantization_version")
    LEFT_OUT = ("split.", "quantize.imatrix.")

    def __init__(self, path: Path) -> None:
        with Model.from_gguf(path, "cpu", threads=1) as model:  # which refuses what is no such model
            self.layers = model.config["layers"]
        self._file = GGUFFile(path)
        self._types = {tensor["name"]: tensor["type"] for tensor in self._file.tensors}
        self.shapes = {tensor["name"]: tuple(tensor["shape"]) for tensor in self._file.tensors}

    def write_metadata(self, writer: GGUFWriter) -> None:
        for key in self._file.metadata_keys():
            if key not in self.REPLACED and not key.startswith(self.LEFT_OUT):
                writer.copy(self._file, key)

    def values(self, name: str) -> Iterator[Floats]:
        type_name, width, data = self._types[name], self.shapes[name][0], self._file.tensor_data(name)
        block, block_bytes = _core.block_of(type_name)
        for at, size in _pieces(prod(self.shapes[name]), width):
            raw = data[at // block * block_bytes : (at + size) // block * block_bytes]
            values = _core.arithmetic.dequantise(type_name, raw.data, width)
            self._file.check_intact()
            yield values.reshape(-1)


def _pieces(count: int, width: int) -> Iterator[tuple[int, int]]:
    """Start and size of pieces that are whole rows."""
    step = max(1, PIECE // width) * width
    for at in range(0, count, step):
        yield at, min(step, count - at)


@dataclass(frozen=True)
class Planned:
    name: str
    type: str
    number: int  # in the output


def quantize(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    type: str = "Q4_K_M",
    *,
    threads: int | None = None,
    progress: Progress = False,
) -> str:
    """Write a GGUF file of a HuggingFace checkpoint's folder, or of another GGUF file, and return its path.

    `type` is F16, Q8_0, Q6_K, Q5_K_M or Q4_K_M; norms and routers stay F32. Memory holds a piece of one tensor at a
    time. The file appears whole or not at all. The same source gives the same file for any number of `threads`.
    `progress` is True for a bar, or is called with the bytes done and their total; what it raises cancels the work.
    """
    if type not in TYPES:
        raise ArgumentError(f"type is {type!r}; expected one of {', '.join(TYPES)}")
    workers = os.cpu_count() or 1 if threads is None else as_count(threads, "threads", 1, 1024)
    path = Path(source)
    model: Source = Checkpoint(path) if path.is_dir() else Converted(path)
    writer = GGUFWriter()
    model.write_metadata(writer)
    writer.add_u32("general.file_type", _core.file_type(type))
    writer.add_u32("general.quantization_version", 2)
    planned = []
    for name, shape in model.shapes.items():
        kind = _type_of(type, name, shape, model)
        planned.append(Planned(name, kind, writer.add_tensor(name, kind, shape)))
    with closing(writer.create(os.fspath(out))) as output, reporting(progress, "quantize", "B") as report:
        _write(model, planned, output, workers, report)
        output.commit()
    return os.fspath(out)


def _type_of(mix: str, name: str, shape: tuple[int, ...], model: Source) -> str:
    if len(shape) == 1:
        return "F32"
    words = name.split(".")
    layer = int(words[1]) if words[0] == "blk" else 0
    return _core.tensor_type(mix, words[-2], layer, model.layers, "output.weight" not in model.shapes)


def _write(
    model: Source, planned: list[Planned], output: GGUFOutput, threads: int, report: ProgressFunction | None
) -> None:
    def size(tensor: Planned) -> int:
        block, block_bytes = _core.block_of(tensor.type)
        return prod(model.shapes[tensor.name]) // block * block_bytes

    done, total = 0, sum(map(size, planned))
    for tensor in planned:
        offset = 0
        for values in model.values(tensor.name):
            try:
                data = _core.quantise(tensor.type, values, threads)
            except NumericalError as error:
                raise NumericalError(f"tensor {tensor.name!r}: {error}") from None
            output.write(tensor.number, offset, data)
            offset += data.nbytes
            done += data.nbytes
            if report:
                report(done, total)
