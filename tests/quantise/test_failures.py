"""What fails leaves nothing behind, memory is bounded, and progress is told."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

import qwen3moe
from qwen3moe.errors import ArgumentError, FileError
from tests.quantise import checkpoints
from tests.shapes import TINY
from tests.synth.test_failures import file_size_limit


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Large enough for several pieces."""
    path = tmp_path_factory.mktemp("source") / "source.gguf"
    return qwen3moe.synth(path, types="F16", **TINY | dict(experts=64, vocab=8192))


def test_no_room_is_known_before_any_work(source, tmp_path):
    (tmp_path / "m.gguf").write_text("kept")
    with file_size_limit(1 << 20), pytest.raises(FileError) as failure:
        qwen3moe.quantize(source, tmp_path / "m.gguf", progress=lambda done, total: pytest.fail("work began"))
    assert failure.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert (tmp_path / "m.gguf").read_text() == "kept"


def test_a_write_that_fails_later(source, tmp_path):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    with file_size_limit(resource.RLIM_INFINITY), pytest.raises(FileError) as failure:
        qwen3moe.quantize(
            source,
            tmp_path / "m.gguf",
            progress=lambda done, total: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard)),
        )
    assert failure.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["at once", "at the end"])
def test_progress_may_cancel(source, tmp_path, when):
    class Cancelled(Exception):
        pass

    def progress(done, total):
        if when == "at once" or done == total:
            raise Cancelled

    with pytest.raises(Cancelled):
        qwen3moe.quantize(source, tmp_path / "m.gguf", "Q8_0", progress=progress)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c(source, tmp_path):
    def interrupt():
        while not list(tmp_path.iterdir()):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        qwen3moe.quantize(source, tmp_path / "m.gguf")
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_all_bytes(source, tmp_path):
    seen = []
    path = qwen3moe.quantize(source, tmp_path / "m.gguf", "Q8_0", progress=lambda *numbers: seen.append(numbers))
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        assert {total for _, total in seen} == {model.weight_bytes}
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]
    assert seen[0][0] < seen[0][1] / 2


def test_a_progress_bar(tmp_path, capsys):
    source = qwen3moe.synth(tmp_path / "source.gguf", types="F16", **TINY)
    qwen3moe.quantize(source, tmp_path / "m.gguf", progress=True)
    assert "quantize" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["checkpoint", "gguf"])
def test_memory_is_bounded(tmp_path, kind):
    """A tensor of 256 MB as float32 passes through far less memory than that."""
    if kind == "gguf":
        source = qwen3moe.synth(tmp_path / "source.gguf", types="Q8_0", **TINY | dict(vocab=262144, layers=1))
    else:
        made = checkpoints.model(vocab_size=262144, num_hidden_layers=1)
        source = checkpoints.save(tmp_path / "source", made, tokenizer=False)
    code = """
import sys
import qwen3moe

def most():  # KiB that this process ever held; ru_maxrss would count its parent's
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

qwen3moe.quantize(sys.argv[1], sys.argv[2], "Q8_0", threads=1)  # where all code has been loaded
before = most()
qwen3moe.quantize(sys.argv[3], sys.argv[2], "Q8_0", threads=1)
print(most() - before)
"""
    small = qwen3moe.synth(tmp_path / "small.gguf", types="F16", **TINY)
    command = [sys.executable, "-c", code, small, str(tmp_path / "m.gguf"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The source of a GGUF file is mapped, and its pages count as long as nobody else wants the memory.
    mapped = os.path.getsize(source) >> 10 if kind == "gguf" else 0
    assert int(done.stdout) < mapped + 100_000


def test_refused_arguments_leave_nothing(tmp_path):
    source = qwen3moe.synth(tmp_path / "source.gguf", **TINY)
    for wrong in (dict(type="Q4_0"), dict(type="none"), dict(threads=0), dict(threads=5000), dict(threads="x")):
        with pytest.raises(ArgumentError):
            qwen3moe.quantize(source, tmp_path / "m.gguf", **wrong)
    with pytest.raises(FileError) as failure:
        qwen3moe.quantize(source, tmp_path / "none" / "m.gguf")
    assert failure.value.errno == errno.ENOENT
    with pytest.raises(FileError) as failure:
        qwen3moe.quantize(source, tmp_path)
    assert failure.value.errno == errno.EISDIR
    assert [path.name for path in tmp_path.iterdir()] == ["source.gguf"]
