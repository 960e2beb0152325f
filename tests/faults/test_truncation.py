"""A model whose file is cut while it is open: calls end in an error or give what they should; the process lives."""

import os
import subprocess
import sys

import pytest

from tests.devices import others

ROUNDS = """
import os, shutil, sys, threading
import qwen3moe
from qwen3moe.errors import GGUFError
good, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokens = list(range(40))
with qwen3moe.Model.from_gguf(good, "cpu") as model:
    expected = model.forward(tokens).tobytes()
size = os.path.getsize(good)
told = 0
for i in range(rounds):
    path = os.path.join(folder, "torn.gguf")
    shutil.copyfile(good, path)
    with qwen3moe.Model.from_gguf(path, "cpu") as model, model.session(context=200) as session:
        session.eval(tokens[:10])
        length = size * (i % 100) // 100
        if i % 2:  # in the middle of a call, from its own progress
            cut = lambda done, total: os.truncate(path, length)
            call = lambda: session.eval(tokens[10:] * 3, progress=cut) if session.position == 10 else None
        else:
            os.truncate(path, length)
            call = lambda: session.eval(tokens[10:])
        try:
            call()
            session.truncate(10)
            session.eval(tokens[10:])  # the one after the cut
        except GGUFError as error:
            told += 1
        assert session.position == 10, session.position
    os.unlink(path)
    with qwen3moe.Model.from_gguf(good, "cpu") as model:
        assert model.forward(tokens).tobytes() == expected
print("told", told)
"""


def test_a_hundred_of_a_hundred(small_model_path, tmp_path):
    # A sanitizer may be there; the handler that is tested here comes in its place.
    environment = os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_sigbus=0"}
    command = [sys.executable, "-c", ROUNDS, str(small_model_path), str(tmp_path), "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout.strip() == "told 100", f"{done.returncode}: {done.stdout} {done.stderr}"


UPLOADED = """
import os, sys, qwen3moe
path, device = sys.argv[1:]
with qwen3moe.Model.from_gguf(path, device) as model:
    os.truncate(path, 1000)
    try:
        model.forward([1, 2, 3])
    except qwen3moe.GGUFError:
        print("told")
"""


@pytest.mark.parametrize("device", others())
def test_on_a_device_that_has_the_weights_itself(small_model_path, tmp_path, device):
    """The upload is done, but a file that shrank is no longer the model that was opened: it is told all the same."""
    path = tmp_path / "m.gguf"
    path.write_bytes(small_model_path.read_bytes())
    command = [sys.executable, "-c", UPLOADED, str(path), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "told", done.stderr
