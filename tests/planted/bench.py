"""What a planted fault is made with: a place to work, ways to break things, and the table that it is entered in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qwen3moe

Run = Callable[[], object]  # the falsifier's own test, sized down
Plant = Callable[["Bench"], Iterator[Run]]  # gives it twice: as it is, and once more after the fault is planted

# What a test that fails may raise, unless a fault says otherwise.
FAILURES = (AssertionError, pytest.fail.Exception)


@dataclass(frozen=True)
class Fault:
    plant: Plant
    fails: tuple[type[BaseException], ...]

    @property
    def what(self) -> str:
        return (self.plant.__doc__ or "").strip()


FAULTS: dict[str, Fault] = {}  # by the id of the falsifier that must find it


def planted(*falsifiers: str, fails: tuple[type[BaseException], ...] = FAILURES) -> Callable[[Plant], Plant]:
    """Enters a fault in the table."""

    def enter(plant: Plant) -> Plant:
        for name in falsifiers:
            assert name not in FAULTS, f"{name} has a fault already"
            FAULTS[name] = Fault(plant, fails)
        return plant

    return enter


def shown_by_the_suite() -> None:
    """In place of a sound run that takes long: the suite has it."""


class Bench:
    """A test's fixtures, and the ways to break something until the test ends."""

    def __init__(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.fixture = request.getfixturevalue
        self.patch = monkeypatch.setattr
        self.environment = monkeypatch.setenv
        self.search = monkeypatch.syspath_prepend
        self.patch_item = monkeypatch.setitem
        self.folder = folder

    @property
    def path(self) -> Path:
        """The small model's file."""
        path: Path = self.fixture("small_model_path")
        return path

    @property
    def model(self) -> qwen3moe.Model:
        """The small model, open on the CPU."""
        model: qwen3moe.Model = self.fixture("model")
        return model

    def wrap(self, owner: Any, name: str, change: Callable[..., Any]) -> None:
        """In place of a function, `change`, which is given the function itself before its arguments."""
        real = getattr(owner, name)
        self.patch(owner, name, lambda *args, **options: change(real, *args, **options))

    def wrap_method(self, owner: type, name: str, change: Callable[..., Any]) -> None:
        """The same of a class's method; `change` is given the object second."""
        real = getattr(owner, name)

        def method(self: Any, *args: Any, **options: Any) -> Any:
            return change(real, self, *args, **options)

        self.patch(owner, name, method)

    def opening(self, alter: Callable[[Path], None]) -> None:
        """From here on models are opened from copies of their files that `alter` has changed."""
        copies = iter(range(1000))

        def open_copy(real: Any, path: Any, *args: Any, **options: Any) -> qwen3moe.Model:
            copy = self.folder / f"altered-{next(copies)}.gguf"
            shutil.copy(path, copy)
            alter(copy)
            model: qwen3moe.Model = real(copy, *args, **options)
            return model

        self.wrap(qwen3moe.Model, "from_gguf", open_copy)

    def in_children(self, code: str) -> None:
        """What every Python that is started from here on does first."""
        folder = self.folder / "first"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        self.search(folder)
        self.environment("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))

    def tool(self, name: str, script: str) -> None:
        """A program of this name, before all others."""
        folder = self.folder / "tools"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
        self.environment("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def library(self, expression: str, *flags: str) -> Path:
        """A shared library with a function of three floats."""
        needs("g++")
        path = self.folder / "library.so"
        code = f'extern "C" float f(float a, float b, float c) {{ return {expression}; }}'
        command = ["g++", "-shared", "-fPIC", *flags, "-x", "c++", "-", "-o", path]
        subprocess.run(command, input=code, text=True, check=True)
        return path


def off_by_one(x: Any) -> Any:
    """The same floats, the last of them by a unit in the last place larger."""
    changed = np.array(x, np.float32)
    changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(np.inf))
    return changed


def needs(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
