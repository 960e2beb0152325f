"""A child of a process that has a device open: the CPU works in it; the device gives an error, not a crash."""

import os
import subprocess
import sys

import pytest

from tests.devices import others

SCRIPT = """
import os, sys, qwen3moe
path, device = sys.argv[1:]
model = qwen3moe.Model.from_gguf(path, device)
expected = model.forward([1, 2, 3]).tobytes()
cpu = qwen3moe.Model.from_gguf(path, "cpu", threads=2)
pid = os.fork()
if pid == 0:
    status = 0
    try:
        if cpu.forward([1, 2, 3]).tobytes() != expected:
            status = 3
        with qwen3moe.Model.from_gguf(path, "cpu") as fresh:
            if fresh.forward([1, 2, 3]).tobytes() != expected:
                status = 4
        if device != "cpu":
            try:
                model.forward([1])
                status = 5
            except qwen3moe.DeviceError as error:
                status = 0 if "fork" in str(error) else 6
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        status = 7
    os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert model.forward([1, 2, 3]).tobytes() == expected
print("alive")
"""


@pytest.mark.parametrize("device", ["cpu", *others()])
def test_a_child_after_a_device_was_opened(small_model_path, device):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(small_model_path), device]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "alive", f"{done.returncode}: {done.stderr}"


def test_children_of_many_generations(small_model_path):
    script = (
        "import os, sys, qwen3moe\n"
        "m = qwen3moe.Model.from_gguf(sys.argv[1], 'cpu', threads=3)\n"
        "expected = m.forward([1, 2, 3]).tobytes()\n"
        "for generation in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid:\n"
        "        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "        same = m.forward([1, 2, 3]).tobytes() == expected\n"
        "        os._exit(0 if status == 0 and same else 1)\n"
        "os._exit(0 if m.forward([1, 2, 3]).tobytes() == expected else 1)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(small_model_path)]
    assert subprocess.run(command, timeout=60).returncode == 0
