"""Models of the claims: one to judge by, and one on each device that is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import qwen3moe
from tests.devices import others

MARKS = {"cuda": pytest.mark.cuda}
DEVICES = [pytest.param(name, marks=MARKS.get(name.partition(":")[0], ())) for name in ["cpu", *others()]]


@pytest.fixture(scope="session")
def reference(small_model_path: Path) -> Iterator[qwen3moe.Model]:
    """One CPU thread without SIMD, a token at a time: the plainest way there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN3MOE_SIMD", "portable")
        opened = qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=1, batch=1)
    with opened:
        yield opened


@pytest.fixture(scope="session", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def subject(small_model_path: Path, device: str) -> Iterator[qwen3moe.Model]:
    """The same file as a device runs it by default."""
    with qwen3moe.Model.from_gguf(small_model_path, device) as opened:
        yield opened
