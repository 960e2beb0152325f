"""Traces on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError, FileError, load_trace, save_trace

TRACE = {"embed": np.arange(6, dtype=np.float32).reshape(2, 3), "layers.0.moe_router.ids": np.int32([[1, 2], [3, 0]])}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save_trace(tmp_path / "t.npz", TRACE, [5, 6, 7], [0, -1])
    stored = load_trace(tmp_path / "t.npz")
    assert list(stored.arrays) == list(TRACE)
    for key, array in TRACE.items():
        assert stored.arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(stored.arrays[key], array)
    assert (stored.tokens.dtype, stored.tokens.tolist()) == (np.int32, [5, 6, 7])
    assert (stored.positions.dtype, stored.positions.tolist()) == (np.int32, [0, 2])
    assert stored.metadata == {"version": qwen3moe.__version__}


def test_all_positions_by_default(tmp_path: Path) -> None:
    save_trace(tmp_path / "t.npz", TRACE, [5, 6])
    assert load_trace(tmp_path / "t.npz").positions.tolist() == [0, 1]


def test_the_model_is_named(tmp_path: Path, model: qwen3moe.Model) -> None:
    save_trace(tmp_path / "t.npz", TRACE, [5, 6], model=model)
    metadata = load_trace(tmp_path / "t.npz").metadata
    assert metadata["model"] == Path(model.path).name
    assert metadata["device"] == "cpu"
    assert len(metadata["fingerprint"]) == 64


def test_a_failed_write_leaves_nothing_new(tmp_path: Path) -> None:
    target = tmp_path / "t.npz"
    save_trace(target, TRACE, [5, 6])
    before = target.read_bytes()

    class Broken:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        save_trace(target, {"embed": Broken()}, [5, 6])  # type: ignore[dict-item]
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write") as refusal:
        save_trace(tmp_path / "none" / "t.npz", TRACE, [5, 6])
    assert isinstance(refusal.value, OSError) and refusal.value.errno


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot read .*t\.npz"):
        load_trace(tmp_path / "t.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", bytes(1000)])
def test_a_file_that_is_no_trace(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(ArgumentError, match="not a trace"):
        load_trace(tmp_path / "t.npz")


def test_other_arrays_are_no_trace(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", embed=TRACE["embed"])
    np.save(tmp_path / "t.npy", TRACE["embed"])
    for name in ("t.npz", "t.npy"):
        with pytest.raises(ArgumentError, match="not a trace"):
            load_trace(tmp_path / name)


def test_a_trace_cannot_run_code(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz", tokens=np.int32([1]), positions=np.int32([0]), metadata=np.array([{"a": 1}], dtype=object)
    )
    with pytest.raises(ArgumentError, match="not a trace"):
        load_trace(tmp_path / "t.npz")
