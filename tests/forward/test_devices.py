"""Every device gives the CPU's bits: logits and every stage, however the work is cut."""

import os
import subprocess
import sys

import numpy as np
import pytest

import qwen3moe
from tests.devices import CASES, SOFTWARE, make, others, prompt, same
from tests.forward.conftest import device_params
from tests.shapes import TINY

pytestmark = pytest.mark.parametrize("device", device_params(*others()))


def fewer(device, tokens, few=270):
    """A processor that plays a GPU takes milliseconds for a token; 270 still cross a block of keys."""
    return min(tokens, few) if device in SOFTWARE else tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def pair(folder):
    """The same file on the CPU and on a device."""
    opened = {}

    def open_pair(case, device):
        if (case, device) not in opened:
            path = make(case, folder)
            opened[case, device] = tuple(qwen3moe.Model.from_gguf(path, d) for d in ("cpu", device))
        return opened[case, device]

    yield open_pair
    for models in opened.values():
        for model in models:
            model.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("length", [1, 4, 5, 70])
def test_every_stage(pair, device, case, length):
    cpu, other = pair(case, device)
    found = qwen3moe.diff(cpu.trace(prompt(length)), other.trace(prompt(length)))
    assert found.equal, str(found)


@pytest.mark.parametrize("case", ["mixed", "head_dim 128"])
@pytest.mark.parametrize("length", [255, 256, 257, 513, 1100])
def test_long_prompts(pair, device, case, length):
    cpu, other = pair(case, device)
    tokens = prompt(fewer(device, length))
    assert same(cpu.forward(tokens, "all"), other.forward(tokens, "all"))


@pytest.mark.parametrize("batch", [1, 3, 33, 512, 1024])
def test_batches(pair, folder, device, batch):
    cpu, _ = pair("mixed", device)
    tokens = prompt(40 if batch == 1 else fewer(device, 600, 100))
    with qwen3moe.Model.from_gguf(make("mixed", folder), device, batch=batch) as other:
        assert same(cpu.forward(tokens, "all"), other.forward(tokens, "all"))


@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [255, 256, 257], list(range(1, 40))])
def test_chunkings(pair, device, cuts):
    cpu, other = pair("mixed", device)
    tokens = prompt(300)
    with other.session(context=512) as session:
        rows = [session.eval(part, "all") for part in np.split(tokens, cuts)]
    assert same(np.concatenate(rows), cpu.forward(tokens, "all"))


@pytest.mark.parametrize("case", CASES)
def test_decode(pair, device, case):
    """One token takes ways of its own."""
    cpu, other = pair(case, device)
    tokens = prompt(6)
    expected = cpu.forward(tokens, "all")
    with other.session(context=6) as session:
        for i in range(6):
            assert same(session.eval(tokens[i : i + 1]), expected[i]), i


def test_decode_across_a_block_of_keys(pair, device):
    cpu, other = pair("head_dim 128", device)
    tokens = prompt(270)
    expected = cpu.forward(tokens, "all")
    with other.session(context=300) as session:
        session.eval(tokens[:240], "none")
        for i, token in enumerate(tokens[240:], 240):
            assert same(session.eval([int(token)]), expected[i]), i


def test_decode_after_many_blocks_of_keys(folder, device):
    """So many that they are merged in pieces."""
    path = qwen3moe.synth(
        folder / "deep.gguf", "small", **dict(TINY, layers=1, heads=6, kv_heads=1, context=9000, types="Q8_0")
    )
    tokens = prompt(8501)
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, cpu.session(8600) as session:
        session.eval(tokens[:8500], "none")
        session.save(folder / "deep.session")
        expected = session.eval(tokens[8500:])
    with qwen3moe.Model.from_gguf(path, device) as other, other.load_session(folder / "deep.session") as session:
        assert same(session.eval(tokens[8500:]), expected)


def test_forks_and_truncation(pair, device):
    cpu, other = pair("mixed", device)
    tokens = prompt(300)
    expected = cpu.forward(tokens, "all")
    with other.session(context=700) as session:
        session.eval(tokens[:120], "none")
        with session.fork() as fork:
            fork.eval(tokens[::-1].copy(), "none")
            assert same(session.eval(tokens[120:], "all"), expected[120:])
            fork.truncate(77)
            assert same(fork.eval(tokens[77:], "all"), expected[77:])


def test_sequences_together(pair, device):
    cpu, other = pair("mixed", device)
    prompts = [prompt(n, seed=n) for n in (1, 9, 200, 33, 256, 2)]
    for together, alone in zip(other.forward_batch(prompts), map(cpu.forward, prompts), strict=True):
        assert same(together, alone)


def test_a_cache_that_does_not_fit(folder, device):
    path = qwen3moe.synth(folder / "long.gguf", "small", layers=64, kv_heads=8, head_dim=128, context=1 << 24)
    with qwen3moe.Model.from_gguf(path, device) as model:
        with pytest.raises(qwen3moe.OutOfMemoryError, match=r"needs [0-9]+ bytes"):
            model.session(context=1 << 24)
        assert np.isfinite(model.forward([1, 2, 3])).all()


def test_a_forked_process(folder, device):
    script = (
        "import os, sys, qwen3moe\n"
        "m = qwen3moe.Model.from_gguf(sys.argv[1], sys.argv[2])\n"
        "m.forward([1])\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try: m.forward([1])\n"
        "    except qwen3moe.DeviceError as e: os._exit(0 if 'fork' in str(e) else 2)\n"
        "    os._exit(1)\n"
        "m.forward([1])\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    args = [sys.executable, "-W", "ignore", "-c", script, make("mixed", folder), device]
    subprocess.run(args, check=True, env=environment, timeout=120)
