"""A file that shrinks while it is read ends in an exception; the process lives."""

import os
import signal
import subprocess
import sys

import pytest

from qwen3moe import _core
from qwen3moe.errors import GGUFError

from .build import ARRAY, STRING, U32, Tensor, entry, gguf, split

# A sanitizer may be there; the handlers that are tested here come in its place.
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_sigbus=0"}


def run(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)


def survive(script, *arguments):
    process = run(script, *arguments)
    assert process.returncode == 0, f"{process.returncode}: {process.stderr}"
    assert process.stdout.strip() == "alive"


TOUCH_AFTER_EVERY_LENGTH = """
import os, sys
from qwen3moe import _core
path, rounds = sys.argv[1], int(sys.argv[2])
whole = open(path, "rb").read()
for i in range(rounds):
    open(path, "r+b").write(whole)
    file = _core.GGUFFile(path)
    weights = file.tensor_data("weights")
    assert int(weights.sum()) > 0
    file.check_intact()
    length = len(whole) * i // rounds
    os.truncate(path, length)
    if i % 3 == 0:
        weights[::-4096].sum()  # from the end, so that the range fails page by page
    else:
        weights.sum()
    try:
        file.check_intact()
    except ValueError as error:
        assert "pages that can no longer be read" in str(error) or f"found {length} bytes" in str(error), error
    else:
        raise SystemExit(f"not told at {length}")
print("alive")
"""


def test_touching_what_was_cut_off(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf([entry("a", STRING, "b")], [Tensor("weights", (100_000,))]))
    survive(TOUCH_AFTER_EVERY_LENGTH, path, 200)


TOUCHED_THEN_GROWN_BACK = """
import os, sys
from qwen3moe import _core
path = sys.argv[1]
file = _core.GGUFFile(path)
size = os.path.getsize(path)
os.truncate(path, 100)
file.tensor_data("weights").sum()
os.truncate(path, size)
try:
    file.check_intact()
except ValueError as error:
    assert "pages that can no longer be read" in str(error)
    print("alive")
"""


def test_a_torn_file_stays_torn(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf([entry("a", STRING, "b")], [Tensor("weights", (100_000,))]))
    survive(TOUCHED_THEN_GROWN_BACK, path)


MANY_THREADS = """
import os, shutil, sys, threading
from qwen3moe import _core
folder, rounds = sys.argv[1], int(sys.argv[2])
good = os.path.join(folder, "good.gguf")
stop = False

def churn():  # mappings come and go while the others fail
    while not stop:
        file = _core.GGUFFile(good)
        file.tensor_data("weights").sum()
        file.check_intact()

def read(weights):
    for _ in range(3):
        weights.sum()

kept = _core.GGUFFile(good)
churners = [threading.Thread(target=churn) for _ in range(2)]
for thread in churners:
    thread.start()
for i in range(rounds):
    path = os.path.join(folder, f"torn{i % 4}.gguf")
    shutil.copyfile(good, path)
    file = _core.GGUFFile(path)
    readers = [threading.Thread(target=read, args=(file.tensor_data("weights"),)) for _ in range(3)]
    for thread in readers:
        thread.start()
    os.truncate(path, 5000 * (i % 50))
    for thread in readers:
        thread.join()
    try:
        file.check_intact()
    except ValueError:
        pass
    else:
        raise SystemExit("not told")
    kept.check_intact()  # the blame falls on no other file
stop = True
for thread in churners:
    thread.join()
print("alive")
"""


def test_many_threads(tmp_path):
    (tmp_path / "good.gguf").write_bytes(gguf([], [Tensor("weights", (200_000,))]))
    survive(MANY_THREADS, tmp_path, 100)


OPENED_WHILE_CUT = """
import os, sys, threading
from qwen3moe import _core
path, rounds = sys.argv[1], int(sys.argv[2])
whole = open(path, "rb").read()
stop = False

def cut():
    while not stop:
        for length in range(4096, len(whole), 40000):
            os.truncate(path, length)
            with open(path, "r+b") as file:
                file.write(whole)

thread = threading.Thread(target=cut)
thread.start()
for _ in range(rounds):
    try:
        _core.GGUFFile(path)
    except ValueError:
        pass
stop = True
thread.join()
print("alive")
"""


def test_opening_while_it_is_cut(tmp_path):
    path = tmp_path / "model.gguf"
    tokens = entry("tokens", ARRAY, (STRING, [f"token {i}" for i in range(50_000)]))
    path.write_bytes(gguf([tokens], [Tensor("weights", (1000,))]))
    survive(OPENED_WHILE_CUT, path, 300)


METADATA_CUT_OFF = """
import os, sys
from qwen3moe import _core
file = _core.GGUFFile(sys.argv[1])
os.truncate(sys.argv[1], 0)
for read in (lambda: file.value("tokens"), lambda: file.value("name"), lambda: file.metadata, file.check_intact):
    try:
        read()
    except ValueError as error:
        assert type(error).__name__ == "GGUFError", error
    else:
        raise SystemExit("not told")
assert file.metadata_keys() == ["name", "tokens"]
print("alive")
"""


def test_metadata_after_a_cut(tmp_path):
    path = tmp_path / "model.gguf"
    tokens = entry("tokens", ARRAY, (STRING, [f"token {i}" for i in range(10_000)]))
    path.write_bytes(gguf([entry("name", STRING, "x" * 5000), tokens]))
    survive(METADATA_CUT_OFF, path)


def test_each_part_of_a_split_is_watched(tmp_path):
    files = split([[Tensor("a", (5000,))], [Tensor("b", (5000,))]])
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    first, second = (tmp_path / name for name in files)
    file = _core.GGUFFile(first)
    file.check_intact()
    with second.open("r+b") as part:
        part.truncate(second.stat().st_size - 1)
    with pytest.raises(GGUFError, match=second.name):
        file.check_intact()


def test_growing_and_deleting_do_no_harm(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf([entry("a", U32, 1)], [Tensor("weights", (100,))]))
    file = _core.GGUFFile(path)
    with path.open("ab") as more:
        more.write(b"more")
    path.unlink()
    assert file.tensor_data("weights").tobytes() == Tensor("weights", (100,)).content()
    file.check_intact()


FOREIGN_FAULT = """
import mmap, os, signal, sys
HANDLER
from qwen3moe import _core
held = _core.GGUFFile(sys.argv[1])
foreign = mmap.mmap(os.open(sys.argv[2], os.O_RDWR), 0)
os.truncate(sys.argv[2], 0)
ACTION
print("alive")
"""


@pytest.mark.parametrize("action", ["foreign[0]", "os.kill(os.getpid(), signal.SIGBUS)"])
@pytest.mark.parametrize("before", ["default", "faulthandler"])
def test_other_bus_errors_keep_their_meaning(tmp_path, action, before):
    (tmp_path / "model.gguf").write_bytes(gguf())
    (tmp_path / "foreign").write_bytes(bytes(10000))
    handler = "import faulthandler; faulthandler.enable()" if before == "faulthandler" else ""
    script = FOREIGN_FAULT.replace("HANDLER", handler).replace("ACTION", action)
    process = run(script, tmp_path / "model.gguf", tmp_path / "foreign")
    assert process.returncode == -signal.SIGBUS
    assert ("Fatal Python error: Bus error" in process.stderr) == (before == "faulthandler")


def test_a_handler_of_the_caller_still_sees_what_is_sent(tmp_path):
    (tmp_path / "model.gguf").write_bytes(gguf())
    (tmp_path / "foreign").write_bytes(bytes(10000))
    handler = "signal.signal(signal.SIGBUS, lambda number, frame: print('seen'))"
    action = "os.kill(os.getpid(), signal.SIGBUS)"
    script = FOREIGN_FAULT.replace("HANDLER", handler).replace("ACTION", action)
    process = run(script, tmp_path / "model.gguf", tmp_path / "foreign")
    assert process.stdout.split() == ["seen", "alive"], process.stderr
