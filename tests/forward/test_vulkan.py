"""Vulkan alone: the ways that devices differ in, the validation layers, and the choice of a device."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core
from qwen3moe.devices import available_devices
from tests.devices import make, others, prompt, same
from tests.shapes import TINY

VALIDATION_LAYER = Path("/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json")
LAYER_HEADER = Path("/usr/include/vulkan/vk_layer.h")
SYNCHRONISATION = "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT"
pytestmark = pytest.mark.skipif("vulkan:0" not in others(), reason="no Vulkan device")

# All that a device is asked for: prefill in tiles and slot by slot, decoding, a fork, choices, a batch of sequences, a
# trace.
SCRIPT = """
import sys
import numpy as np, qwen3moe
path, tokens, logits, choices = sys.argv[1], np.load(sys.argv[2]), *sys.argv[3:]
with qwen3moe.Model.from_gguf(path, "vulkan:0") as model, model.session(64) as session:
    rows = [session.eval(tokens[:9], "all"), session.eval(tokens[9:12], "all")]
    rows += [session.eval([token])[None] for token in tokens[12:15]]
    with session.fork() as fork:
        rows.append(fork.eval(tokens[15:], "all"))
        fork.truncate(15)
        np.save(choices, [fork.choose(part) for part in np.split(tokens[15:], [2, 3, 4])])
    rows.append(np.stack(model.forward_batch([tokens[:3], tokens[:5]])))
    rows.append(model.trace(tokens[:2])["logits"])
np.save(logits, np.concatenate(rows))
"""


def environment(**variables):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}


def check(path, tokens, folder, **variables):
    """The script gives the CPU's bits in a process of its own; all that it printed."""
    files = [folder / f"{name}.npy" for name in ("tokens", "logits", "choices")]
    np.save(files[0], tokens)
    arguments = [sys.executable, "-c", SCRIPT, path, *files]
    done = subprocess.run(arguments, env=environment(**variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        rows = model.forward(tokens, "all")
    assert same(np.load(files[1]), np.concatenate([rows, rows[[2, 4]], rows[:2]]))
    last = rows[[16, 17, 18, 19]]
    tokens = last.argmax(axis=1).astype(np.int32)
    logprobs, _ = _core.sampling.log_probabilities(last, tokens)
    assert np.array_equal(np.load(files[2]), np.stack([tokens, logprobs.astype(np.float64)], axis=1))
    return done.stdout + done.stderr


@pytest.mark.parametrize("case", ["mixed", "odd Q4_0"])
@pytest.mark.parametrize("width", ["128", "256", "512"])
@pytest.mark.parametrize("way", ["gpu", "processor"])
def test_subgroups_workgroups_and_dot_products(tmp_path_factory, tmp_path, case, width, way):
    """A software device takes its subgroup size from the environment; the rest is how GPUs and processors are used."""
    path, tokens = make(case, tmp_path_factory.getbasetemp()), prompt(20)
    check(path, tokens, tmp_path, LP_NATIVE_VECTOR_WIDTH=width, QWEN3MOE_VULKAN_AS=way)


def test_more_rows_than_workgroups_of_a_dispatch(tmp_path):
    """Some devices take 65535 of them at a time; an output head of plain floats has a workgroup for each row."""
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", **dict(TINY, layers=1, vocab=66000, types="F16", tied=1))
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, "vulkan:0") as other:
        assert same(cpu.forward([1, 65999]), other.forward([1, 65999]))


@pytest.mark.parametrize("shape", [dict(experts=40, experts_used=40), dict(experts=24, experts_used=24, ff=512)])
def test_one_token_of_more_experts_than_fit(tmp_path, shape):
    """Some devices share 32 KB within a workgroup; such a token is taken step by step."""
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", **(TINY | dict(layers=1, types="Q8_0") | shape))
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, "vulkan:0") as other:
        assert same(cpu.forward([1]), other.forward([1]))


@pytest.mark.skipif(not VALIDATION_LAYER.exists(), reason="no Vulkan validation layer")
@pytest.mark.parametrize("case", ["mixed", "BF16"])
def test_validation_layers_are_silent(tmp_path, case):
    """Core and synchronisation: every access of a bound buffer waits for what it depends on."""
    path, tokens = make(case, tmp_path), prompt(20)
    layers = {"VK_INSTANCE_LAYERS": "VK_LAYER_KHRONOS_validation", "VK_LAYER_ENABLES": SYNCHRONISATION}
    assert check(path, tokens, tmp_path, **layers) == ""


def test_times(tmp_path):
    """A table for whoever wants to know where the time goes."""
    path, tokens = make("mixed", tmp_path), prompt(20)
    printed = check(path, tokens, tmp_path, QWEN3MOE_VULKAN_TIMES="1")
    assert re.search(r"^ +[0-9]+ +[0-9]+ +[0-9.]+  single_gate_up [0-9]+ 1$", printed, re.MULTILINE), printed


def test_the_cpu_comes_before_a_vulkan_that_runs_on_it():
    software = {entry["device"] for entry in qwen3moe.backends() if entry["software"]}
    here = available_devices()
    assert all(here.index("cpu") < here.index(device) for device in software)
    assert all(here.index(device) < here.index("cpu") for device in others() if device not in software)


LOSING = """
import os, sys, numpy as np, qwen3moe
expected = qwen3moe.Model.from_gguf(sys.argv[1], "cpu").forward([1, 2, 3])
def same(model): return np.array_equal(model.forward([1, 2, 3]).view("u4"), expected.view("u4"))
model = qwen3moe.Model.from_gguf(sys.argv[1], "vulkan:0")
assert same(model)
session = model.session(8)
os.environ["LOSE"] = "1"
for _ in range(2):
    try: session.eval([1, 2, 3])
    except qwen3moe.DeviceError as error: assert "lost" in str(error), error
    else: sys.exit("nothing was lost")
    assert session.position == 0
del os.environ["LOSE"]
again = qwen3moe.Model.from_gguf(sys.argv[1], "vulkan:0")
assert same(again)
session.close(), model.close()
assert same(again)
"""


@pytest.mark.skipif(not (shutil.which("g++") and LAYER_HEADER.exists()), reason="no compiler or no Vulkan headers")
def test_a_lost_device(tmp_path):
    """Models on it are lost too, and say so; the process, and a model that is opened anew, go on."""
    source = Path(__file__).parent / "lost_device.cpp"
    subprocess.run(["g++", "-std=c++20", "-shared", "-fPIC", source, "-o", tmp_path / "lost.so"], check=True)
    layer = {"name": "VK_LAYER_TEST_lost", "type": "GLOBAL", "library_path": str(tmp_path / "lost.so")}
    layer |= {"api_version": "1.3.0", "implementation_version": "1", "description": "loses the device"}
    (tmp_path / "lost.json").write_text(json.dumps({"file_format_version": "1.1.2", "layer": layer}))
    path = make("mixed", tmp_path)
    found = {"VK_LAYER_PATH": str(tmp_path), "VK_INSTANCE_LAYERS": "VK_LAYER_TEST_lost"}
    subprocess.run([sys.executable, "-c", LOSING, path], env=environment(**found), check=True)
