"""Options and fixtures of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwen3moe


def pytest_configure() -> None:
    # A parent such as nohup may have Ctrl-C ignored, here and so in every child that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A test of devices that are not here has no parameters, and so there is nothing to run.
    items[:] = [item for item in items if "NOTSET" not in item.name]
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(scope="session")
def small_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic model's file."""
    return Path(qwen3moe.synth(tmp_path_factory.mktemp("models") / "small.gguf", preset="small"))


@pytest.fixture(scope="session")
def model(small_model_path: Path) -> Iterator[qwen3moe.Model]:
    """The small model, open on the CPU."""
    with qwen3moe.Model.from_gguf(small_model_path, "cpu") as opened:
        yield opened
