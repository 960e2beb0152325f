"""Fingerprints: of logits, by their bits, and of model files."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import ArgumentError, FileError

_PIECES, _PIECE_BYTES = 256, 4096


def sha256_logits(logits: npt.NDArray[np.float32]) -> str:
    """SHA-256 of the bits, as little-endian float32 in C order; the shape does not enter."""
    if logits.dtype.kind != "f" or logits.dtype.itemsize != 4:
        raise ArgumentError(f"logits have the dtype {logits.dtype}; the hash is of float32 bits")
    return hashlib.sha256(np.ascontiguousarray(logits, dtype="<f4").data).hexdigest()


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's size and of pieces spread evenly over it: tells models apart without reading them whole."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(size.to_bytes(8, "little"))
            for i in range(_PIECES):
                file.seek(i * max(size - _PIECE_BYTES, 0) // (_PIECES - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError as error:
        raise FileError(error.errno, f"{os.fspath(path)}: {error.strerror}") from error
    return digest.hexdigest()


def short(digest: str) -> str:
    """As much of a digest as a table has room for."""
    return digest[:16]
