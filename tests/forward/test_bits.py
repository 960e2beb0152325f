"""The promise itself: the same bits however the work is cut. Every comparison is of bits, never with a tolerance."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core

PROMPT = np.random.default_rng(11).integers(0, 256, 300).astype(np.int32)


def bits(logits):
    return np.ascontiguousarray(logits).view(np.uint32)


def same(a, b):
    return a.shape == b.shape and np.array_equal(bits(a), bits(b))


@pytest.fixture(scope="module")
def expected(small_model_path):
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu", threads=1) as model:
        return model.forward(PROMPT, positions="all")


@pytest.fixture(scope="module")
def model(small_model_path):
    """The CPU's; test_devices.py asks the same of the others."""
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu") as opened:
        yield opened


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 7, 64, 512])
def test_threads_and_batches(small_model_path, expected, threads, batch):
    tokens = PROMPT if batch > 1 else PROMPT[:40]
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu", threads=threads, batch=batch) as model:
        assert same(model.forward(tokens, positions="all"), expected[: len(tokens)])


@pytest.mark.parametrize("cuts", [[1], [1, 2, 3], [255, 256, 257], [100, 101, 299], list(range(1, 40))])
def test_chunkings(model, expected, cuts):
    with model.session(context=512) as session:
        rows = [session.eval(part, positions="all") for part in np.split(PROMPT, cuts)]
    assert same(np.concatenate(rows), expected)


def test_decode_equals_prefill(model, expected):
    with model.session(context=300) as session:
        for i, token in enumerate(PROMPT[:64]):
            assert same(session.eval([int(token)]), expected[i])


def test_forks_and_truncation(model, expected):
    with model.session(context=500) as session:
        session.eval(PROMPT[:120])
        with session.fork() as fork:
            other = fork.eval(PROMPT[::-1].copy())
            assert same(session.eval(PROMPT[120:], positions="all"), expected[120:])
            fork.truncate(77)
            assert same(fork.eval(PROMPT[77:], positions="all"), expected[77:])
            fork.truncate(120)
            assert same(fork.eval(PROMPT[::-1].copy()), other)


def test_a_batch_of_sequences_equals_each_alone(model):
    rng = np.random.default_rng(5)
    prompts = [rng.integers(0, 256, n).astype(np.int32) for n in (1, 9, 200, 33, 256, 2)]
    alone = [model.forward(p) for p in prompts]
    for together, single in zip(model.forward_batch(prompts), alone, strict=True):
        assert same(together, single)


def test_instruction_sets(small_model_path, expected, tmp_path):
    names = _core.arithmetic.simd()
    assert names[0] == "portable"
    script = (
        "import sys, numpy as np, qwen3moe\n"
        "m = qwen3moe.Model.from_gguf(sys.argv[1], device='cpu')\n"
        "np.save(sys.argv[3], m.forward(np.load(sys.argv[2]), positions='all'))\n"
    )
    np.save(tmp_path / "p.npy", PROMPT)
    for name in names:
        args = [sys.executable, "-c", script, str(small_model_path), str(tmp_path / "p.npy"), str(tmp_path / "l.npy")]
        subprocess.run(args, check=True, env={**os.environ, "QWEN3MOE_SIMD": name})
        assert same(np.load(tmp_path / "l.npy"), expected), name


def test_threads_that_share_a_model(model, expected):
    failures = []

    def work(length):
        for _ in range(3):
            if not same(model.forward(PROMPT[:length], positions="all"), expected[:length]):
                failures.append(length)

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 5, 60, 61, 100, 128, 200, 300)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_a_forked_process(small_model_path, expected):
    """os.fork leaves the child without worker threads; it starts its own."""
    script = (
        "import os, sys, numpy as np, qwen3moe\n"
        "m = qwen3moe.Model.from_gguf(sys.argv[1], device='cpu', threads=3)\n"
        "tokens = list(range(50))\n"
        "a = m.forward(tokens)\n"
        "pid = os.fork()\n"
        "b = m.forward(tokens)\n"
        "ok = np.array_equal(a.view(np.uint32), b.view(np.uint32))\n"
        "if pid == 0: os._exit(0 if ok else 1)\n"
        "assert ok and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(small_model_path)], check=True, timeout=60)
