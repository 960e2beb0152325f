"""What the operating system refuses, and what is no file at all."""

import errno
import os
import subprocess
import sys

import pytest

from qwen3moe import _core
from qwen3moe.errors import FileError, GGUFError

from .build import Tensor, gguf, split


def refused(path, number):
    with pytest.raises(FileError) as caught:
        _core.GGUFFile(path)
    assert caught.value.errno == number
    assert isinstance(caught.value, OSError)
    return str(caught.value)


def test_missing_file(tmp_path):
    assert "no_such.gguf: cannot be opened" in refused(tmp_path / "no_such.gguf", errno.ENOENT)


def test_directory(tmp_path):
    refused(tmp_path, errno.EISDIR)


def test_path_through_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file" / "model.gguf", errno.ENOTDIR)


OPEN_AS_ANYBODY = """
import os, sys
from qwen3moe import _core
if os.geteuid() == 0:  # who may read everything
    os.seteuid(65534)
try:
    _core.GGUFFile(sys.argv[1])
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_no_permission(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf())
    path.chmod(0)
    command = [sys.executable, "-c", OPEN_AS_ANYBODY, path]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.stdout.split() == ["FileError", str(errno.EACCES)], process.stderr


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "blob").write_bytes(gguf([], [Tensor("a", (8,))]))
    (tmp_path / "model.gguf").symlink_to("blob")
    assert len(_core.GGUFFile(tmp_path / "model.gguf").tensors) == 1
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", errno.ELOOP)


def test_fifo_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", "/dev/null"):
        with pytest.raises(GGUFError, match="found a pipe, socket or device; expected a regular file"):
            _core.GGUFFile(path)


@pytest.mark.skipif("san.so" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need descriptors themselves")
def test_too_many_open_files(tmp_path):
    (tmp_path / "model.gguf").write_bytes(gguf())
    script = f"""
import resource, sys
from qwen3moe import _core
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True:
        held.append(_core.GGUFFile({str(tmp_path / "model.gguf")!r}))
except OSError as error:
    print(type(error).__name__, error.errno)
held.clear()
_core.GGUFFile({str(tmp_path / "model.gguf")!r})
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert process.stdout.split() == ["FileError", str(errno.EMFILE)], process.stderr
    assert process.returncode == 0


def test_missing_sibling(tmp_path):
    files = split([[Tensor("a", (8,))], [Tensor("b", (8,))]])
    first, second = files
    (tmp_path / first).write_bytes(files[first])
    assert second in refused(tmp_path / first, errno.ENOENT)


@pytest.mark.parametrize("name", ["漢字.gguf", "a b'\".gguf", "line\nbreak", b"not utf-8 \xff"])
def test_any_name_works(tmp_path, name):
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(gguf())
    assert _core.GGUFFile(path).path == os.fsdecode(path)
    with open(path, "wb") as file:
        file.write(gguf(version=9))
    with pytest.raises(GGUFError) as caught:
        _core.GGUFFile(path)
    assert str(caught.value).splitlines() == [str(caught.value)]


def test_what_is_no_path():
    with pytest.raises(TypeError):
        _core.GGUFFile(3)
    with pytest.raises(ValueError, match="null"):
        _core.GGUFFile("a\0b")
    with pytest.raises(TypeError):
        _core.GGUFFile("a", mode="w")
