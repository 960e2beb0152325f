"""What these tests ask of a model holds on every device that is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qwen3moe
from tests.devices import others


def device_params(*devices: str) -> list[Any]:
    """Parameters of a test, marked with what they need."""
    marks = {"cuda": pytest.mark.cuda}
    return [pytest.param(name, marks=marks.get(name.partition(":")[0], ())) for name in devices]


@pytest.fixture(scope="session", params=device_params("cpu", *others()))
def device(request: pytest.FixtureRequest) -> str:
    """A device's name."""
    return request.param


@pytest.fixture(scope="session")
def model(small_model_path: Path, device: str) -> Iterator[qwen3moe.Model]:
    """The small model, open on a device."""
    with qwen3moe.Model.from_gguf(small_model_path, device) as opened:
        yield opened
