"""The GGUF writer alone, read back by an independent reader."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from .models import metadata, tensors

SOURCES = Path(__file__).parents[2] / "cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if not compiler or not SOURCES.exists():
        pytest.skip("needs a C++ compiler and the sources")
    program = tmp_path_factory.mktemp("program") / "write_values"
    parts = [Path(__file__).parent / "write_values.cpp", SOURCES / "gguf/writer.cpp", SOURCES / "atomic_file.cpp"]
    subprocess.run([compiler, "-std=c++20", f"-I{SOURCES}", "-o", program, *parts, "-pthread"], check=True)
    return program


def test_every_kind_of_value(program, tmp_path):
    subprocess.run([program, tmp_path / "m.gguf"], check=True)
    found = metadata(tmp_path / "m.gguf")
    assert found["GGUF.version"] == 3
    assert found["GGUF.tensor_count"] == 2
    assert {key: value for key, value in found.items() if not key.startswith("GGUF.")} == {
        "u8": 200,
        "i8": -100,
        "u16": 60000,
        "i16": -30000,
        "u32": 4000000000,
        "i32": -2000000000,
        "u64": 1 << 63,
        "i64": -(1 << 62),
        "f32": float(np.float32(0.1)),
        "f64": 0.1,
        "yes": True,
        "no": False,
        "text": "Größe",
        "empty": "",
        "u8s": [1, 255],
        "i64s": [-1, 1],
        "f32s": [0.5, -0.5],
        "bools": [True, False, True],
        "texts": ["a", "", "ccc"],
        "none": [],
    }


def test_tensors_written_back_to_front(program, tmp_path):
    subprocess.run([program, tmp_path / "m.gguf"], check=True)
    found = tensors(tmp_path / "m.gguf")
    assert list(found) == ["first", "second"]
    assert found["first"].data.tolist() == [1, 2, 3]
    assert found["second"].data.reshape(-1).tolist() == [0] * 34 + [1] * 34
    assert all(tensor.data_offset % 32 == 0 for tensor in found.values())
    size = (tmp_path / "m.gguf").stat().st_size
    assert size % 32 == 0
    assert size >= found["second"].data_offset + 68


def test_an_abandoned_file_is_never_there(program, tmp_path):
    subprocess.run([program, tmp_path / "m.gguf", "abandon"], check=True)
    assert list(tmp_path.iterdir()) == []
