"""Ctrl-C: long calls look for signals often, end when one comes, and leave what they worked on as it was.

How often is measured in processor time of the calling thread, which other processes on the machine do not change.
"""

import contextlib
import itertools
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

import qwen3moe
from tests.devices import others, prompt

LONGEST = 0.2  # seconds
DEVICES = ["cpu", *others()]


def memory_in_use():
    """Bytes of this process that no file stands behind."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


class Looks:
    """The calling thread's processor time, and the time of day, when Python is asked for signals."""

    def __enter__(self):
        self.times, self.clock = [time.thread_time()], []
        self.before = signal.signal(signal.SIGALRM, self.look)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        return self

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)
        self.times.append(time.thread_time())

    def look(self, *_):
        self.times.append(time.thread_time())
        self.clock.append(time.monotonic())

    def longest(self):
        return max(b - a for a, b in itertools.pairwise(self.times))


@pytest.mark.parametrize("device", DEVICES)
def test_polls_are_never_far_apart(small_model_path, device):
    """In the largest batch, where a step takes longest, and in decoding far into a context."""
    tokens = prompt(1024)
    with (
        qwen3moe.Model.from_gguf(small_model_path, device, batch=1024) as model,
        model.session(context=2100) as session,
    ):
        session.eval(tokens[:70], "none")  # a driver that is a compiler makes what it needs for prompts,
        session.eval(tokens[:1], "none")  # and for single tokens
        session.truncate(0)
        with Looks() as prefill:
            session.eval(tokens, "none")
        with Looks() as decode:
            for token in tokens[:40]:
                session.eval([int(token)])
    assert prefill.longest() < LONGEST and decode.longest() < LONGEST
    assert len(prefill.times) > 3 or prefill.times[-1] - prefill.times[0] < LONGEST


@pytest.fixture(scope="module")
def large_vocabulary(tmp_path_factory):
    """A file whose metadata is that of a real model: what takes longest to read."""
    path = tmp_path_factory.mktemp("load") / "m.gguf"
    return qwen3moe.synth(path, "qwen3-30b-a3b", layers=2, hidden=256, heads=4, experts=8, ff=256)


def test_a_load_is_short(large_vocabulary):
    """On the CPU loading maps the file: it is over before a signal would have to be answered."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        qwen3moe.Model.from_gguf(large_vocabulary, "cpu").close()
        times.append(time.thread_time() - start)
    assert min(times) < LONGEST


@pytest.fixture(scope="module")
def large_weights(tmp_path_factory):
    """A file whose weights take a device a while to receive: a fifth of a gigabyte."""
    path = tmp_path_factory.mktemp("weights") / "m.gguf"
    return qwen3moe.synth(path, "small", types="Q4_K_M", layers=2, hidden=2048, experts=32, ff=768)


@pytest.mark.parametrize("device", DEVICES)
def test_a_load_looks_for_signals(large_weights, device):
    """While weights travel to a device, of which the thread may spend most asleep, there are looks all the time."""
    with Looks() as looks:
        start = time.monotonic()
        model = qwen3moe.Model.from_gguf(large_weights, device)
        end = time.monotonic()
        model.close()
    assert looks.longest() < LONGEST
    # Not those at its end, where a signal is answered that had to wait.
    within = [at for at in looks.clock if start < at < end - 0.02]
    assert len(within) >= int(2 * (end - start))


@pytest.mark.parametrize("device", others())
def test_ctrl_c_ends_a_load(large_weights, small_model_path, device):
    """The device is as it was: the next model has its memory, and is right."""
    with qwen3moe.Model.from_gguf(small_model_path, "cpu") as model:
        expected = model.forward([1, 2, 3])
    free = memory_in_use()

    def load_again_and_again(delay, when):
        threading.Timer(delay, when.set).start()
        for _ in range(1000):
            qwen3moe.Model.from_gguf(large_weights, device).close()

    for delay in (0.0, 0.05, 0.15, 0.3):
        when = threading.Event()
        assert interrupted(partial(load_again_and_again, delay, when), when)
        settle()
    assert memory_in_use() - free < 100 << 20
    with qwen3moe.Model.from_gguf(small_model_path, device) as model:
        assert np.array_equal(model.forward([1, 2, 3]), expected)


def interrupted(work, when):
    """Whether `work` ended with KeyboardInterrupt after a signal that comes once `when` is set."""
    main = threading.get_ident()

    def send():
        when.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        when.set()
        sender.join()
    return False


def settle():
    """Lets a signal that is still on its way arrive."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["prefill", "decode", "load"])
def test_ctrl_c_ends_a_call(small_model_path, device, kind):
    tokens = prompt(4000)
    with qwen3moe.Model.from_gguf(small_model_path, device, batch=64) as model, model.session(context=4050) as session:
        expected = model.forward([1, 2, 3])
        session.eval(tokens[:10], "none")
        done, when, at = [0], threading.Event(), []

        def progress(count, total):
            done[0] = count // 64
            if done[0] == 3:
                at.append(done[0])
                when.set()

        def work():
            if kind == "prefill":
                session.eval(tokens[10:], "none", progress=progress)
                return
            for i in range(10, 4000):
                if kind == "decode":
                    session.eval(tokens[i : i + 1], "none")
                else:
                    qwen3moe.Model.from_gguf(small_model_path, device, threads=1, batch=1).close()
                done[0] += 1
                if done[0] == 20:
                    at.append(20)
                    when.set()

        assert interrupted(work, when)
        settle()
        if kind == "prefill":
            assert session.position == 10
            assert done[0] < 60, "all batches but a few were done after the signal"
        else:
            assert done[0] - at[0] < 200
        session.truncate(10)
        again = session.eval([3, 4])
        assert np.array_equal(again, model.forward([*tokens[:10], 3, 4]))
        assert np.array_equal(model.forward([1, 2, 3]), expected)


def test_a_signal_while_a_trace_is_made(model):
    before = model.plan()
    when = threading.Event()
    threading.Timer(0.05, when.set).start()

    def work():
        for _ in range(1000):
            model.trace(prompt(500), "expert")

    assert interrupted(work, when)
    settle()
    assert model.plan() == before
    assert np.isfinite(model.forward([1, 2, 3])).all()
