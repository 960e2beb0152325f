"""Hashes of logits and fingerprints of files."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from qwen3moe import ArgumentError, FileError, sha256_logits
from qwen3moe.hashing import file_fingerprint

VALUES = [1.0, -2.5, 3e-20, 4.0]
EXPECTED = hashlib.sha256(struct.pack("<4f", *VALUES)).hexdigest()


@pytest.mark.parametrize(
    "logits",
    [
        np.array(VALUES, dtype="<f4"),
        np.array(VALUES, dtype=">f4"),
        np.array(VALUES, dtype="<f4").reshape(2, 2),
        np.asfortranarray(np.array(VALUES, dtype="<f4").reshape(2, 2)),
        np.repeat(np.array(VALUES, dtype="<f4"), 2)[::2],
    ],
)
def test_the_hash_is_of_the_values_in_order(logits: np.ndarray) -> None:
    assert sha256_logits(logits) == EXPECTED


def test_one_bit_changes_it() -> None:
    assert sha256_logits(np.float32([0.0])) != sha256_logits(np.float32([-0.0]))


@pytest.mark.parametrize("dtype", ["f8", "f2", "i4"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ArgumentError, match="float32"):
        sha256_logits(np.zeros(3, dtype=dtype))


@pytest.mark.parametrize("size", [0, 1, 4096, 5000, 3_000_000])
def test_fingerprints_tell_files_apart(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = bytes(i * 7 % 251 for i in range(size))
    prints = set()
    for variant in (content, content + b"x", content[:-1] + b"?" if size else b"?"):
        path.write_bytes(variant)
        prints.add(file_fingerprint(path))
        assert file_fingerprint(path) in prints
    assert len(prints) == 3


def test_fingerprints_tell_sizes_apart(tmp_path: Path) -> None:
    prints = set()
    for size in (5000, 5001):
        (tmp_path / "file").write_bytes(bytes(size))
        prints.add(file_fingerprint(tmp_path / "file"))
    assert len(prints) == 2


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing"):
        file_fingerprint(tmp_path / "nothing")
