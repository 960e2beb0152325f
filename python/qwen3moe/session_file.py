"""Sessions on disk: their tokens and the cache of these, in a form that is the same from every device.

A file is the magic, the version and the header's length as uint32, the header in JSON, the tokens as int32, the cache
layer by layer (cpp/backend/executor.h says how), and the SHA-256 of all that. Numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO

import numpy as np

from qwen3moe import _core
from qwen3moe.errors import ArgumentError, FileError, SessionFileError
from qwen3moe.files import replacing
from qwen3moe.progress import Progress, reporting

_MAGIC = b"qwen3moe session"
_VERSION = 1
_MOST_HEADER = 1 << 16

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Header:
    """model: its fingerprint. arithmetic: the hash of its self-test. The rest are counts."""

    model: str
    arithmetic: str
    context: int
    tokens: int
    layers: int
    layer_bytes: int

    @property
    def payload(self) -> int:
        """The bytes between the header and the digest."""
        return 4 * self.tokens + self.layers * self.layer_bytes


def save_session(path: Path, core: _core.Session, model: _core.Model, fingerprint: str, progress: Progress) -> None:
    """The file appears whole or not at all."""
    tokens = core.tokens
    header = _header_of(model, fingerprint, core.context, len(tokens))
    text = json.dumps(asdict(header)).encode()
    with replacing(path) as draft, open(draft, "xb") as file, reporting(progress, "save", "B") as report:
        digest = hashlib.sha256()
        written = 0

        def put(piece: Any) -> None:
            nonlocal written
            digest.update(piece)
            file.write(piece)
            written += len(piece)
            if report:
                report(written, len(_MAGIC) + 8 + len(text) + header.payload)

        put(_MAGIC + struct.pack("<II", _VERSION, len(text)) + text)
        put(tokens.astype("<i4").tobytes())
        core.read(put)
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())


def load_session(
    path: Path, model: _core.Model, fingerprint: Callable[[], str], context: int | None, progress: Progress
) -> _core.Session:
    """A new session of what was stored; SessionFileError where it is damaged or of another model."""
    try:
        with open(path, "rb") as file:
            return _load(file, os.fspath(path), model, fingerprint, context, progress)
    except OSError as error:
        raise FileError(error.errno, f"cannot read {os.fspath(path)}: {error.strerror}") from error


def _load(
    file: BinaryIO,
    name: str,
    model: _core.Model,
    fingerprint: Callable[[], str],
    context: int | None,
    progress: Progress,
) -> _core.Session:
    digest = hashlib.sha256()
    header = _read_header(file, name, digest)
    expected = _header_of(model, fingerprint(), header.context, header.tokens)
    for field in fields(Header):
        found, wanted = getattr(header, field.name), getattr(expected, field.name)
        if found != wanted:
            raise SessionFileError(f"{name} is of another model: {field.name} is {found}, not {wanted}")
    if not max(header.tokens, 1) <= header.context <= model.config["context"]:
        raise SessionFileError(f"{name} says {header.tokens} tokens and a context of {header.context}: they do not fit")
    size, start = os.fstat(file.fileno()).st_size, file.tell()
    if size != start + header.payload + digest.digest_size:
        raise SessionFileError(f"{name} has {size} bytes; {start + header.payload + digest.digest_size} were written")

    with reporting(progress, "load", "B") as report:
        left = header.payload

        def fill(piece: Any) -> None:
            nonlocal left
            if file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                raise SessionFileError(f"{name} ended while it was read")
            digest.update(piece)
            left -= len(piece)
            if report:
                report(header.payload - left, header.payload)
            if left == 0 and file.read() != digest.digest():
                raise SessionFileError(f"{name} was altered: its bytes have another SHA-256 than it says")

        tokens = bytearray(4 * header.tokens)
        session = model.session(header.context if context is None else context)
        try:
            fill(tokens)
            session.write(np.frombuffer(tokens, "<i4").astype(np.int32), fill)
        except ArgumentError as error:
            session.close()
            raise SessionFileError(f"{name}: {error}") from error
        except BaseException:
            session.close()
            raise
    return session


def _header_of(model: _core.Model, fingerprint: str, context: int, tokens: int) -> Header:
    config = model.config
    row = config["kv_heads"] * (2 * config["head_dim"] + 4)
    arithmetic = f"{_core.arithmetic.selftest('cpu')['expected']:016x}"
    return Header(fingerprint, arithmetic, context, tokens, config["layers"], 2 * tokens * row)


def _read_header(file: BinaryIO, name: str, digest: Any) -> Header:
    start = file.read(len(_MAGIC) + 8)
    if len(start) < len(_MAGIC) + 8 or not start.startswith(_MAGIC):
        raise SessionFileError(f"{name} is no stored session")
    version, length = struct.unpack("<II", start[len(_MAGIC) :])
    if version != _VERSION:
        raise SessionFileError(f"{name} has the version {version}; expected {_VERSION}")
    text = file.read(min(length, _MOST_HEADER))
    digest.update(start + text)
    try:
        found = json.loads(text)
        header = Header(**{field.name: found[field.name] for field in fields(Header)})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SessionFileError(f"{name} has a header that cannot be read: {error}") from error
    counts = (header.context, header.tokens, header.layers, header.layer_bytes)
    if len(text) != length or any(type(count) is not int or not 0 <= count < 2**48 for count in counts):
        raise SessionFileError(f"{name} has a header that cannot be right")
    return header
