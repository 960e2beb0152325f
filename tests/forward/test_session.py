"""Sessions: what is refused, that nothing changes when a call fails, and that Ctrl-C ends one."""

import signal
import threading
import time

import numpy as np
import pytest

import qwen3moe


def test_a_full_context(model):
    with model.session(context=10) as session:
        session.eval(list(range(8)))
        with pytest.raises(qwen3moe.ContextFullError, match=r"3 tokens do not fit: the context of 10 has 2 left"):
            session.eval([1, 2, 3])
        assert session.position == 8
        session.eval([1, 2])
        assert list(session.tokens) == [*range(8), 1, 2]


@pytest.mark.parametrize("bad", [-1, 10**6, 2**31 - 1])
def test_a_token_out_of_range(model, bad):
    with model.session(context=10) as session, pytest.raises(qwen3moe.ArgumentError, match=f"token 1 is {bad}"):
        session.eval([0, bad])


def test_no_tokens(model):
    with pytest.raises(qwen3moe.ArgumentError, match="at least one"):
        model.forward([])
    with pytest.raises(ValueError):
        model.forward([])


def test_context_bounds(model):
    for context in (0, model.config["context"] + 1):
        with pytest.raises(qwen3moe.ArgumentError, match="context"):
            model.session(context=context)


def test_closed(small_model_path, device):
    model = qwen3moe.Model.from_gguf(small_model_path, device=device)
    session = model.session(context=8)
    session.close()
    session.close()
    with pytest.raises(qwen3moe.SessionError, match="closed"):
        session.eval([1])
    model.close()
    with pytest.raises(qwen3moe.SessionError, match="closed"):
        model.forward([1])


def test_a_session_outlives_its_model(small_model_path, device):
    model = qwen3moe.Model.from_gguf(small_model_path, device=device)
    expected = model.forward([1, 2, 3])
    session = model.session(context=8)
    model.close()
    assert np.array_equal(session.eval([1, 2, 3]), expected)


def test_truncate_past_the_end(model):
    with model.session(context=8) as session, pytest.raises(qwen3moe.ArgumentError, match="truncate to 1"):
        session.truncate(1)


def test_out(model, tmp_path):
    tokens = [5, 6, 7]
    expected = model.forward(tokens, positions="all")
    out = np.lib.format.open_memmap(tmp_path / "l.npy", mode="w+", dtype=np.float32, shape=expected.shape)
    assert model.forward(tokens, positions="all", out=out) is out
    assert np.array_equal(np.load(tmp_path / "l.npy"), expected)
    for bad in (np.zeros(3, np.float32), np.zeros(expected.shape), np.zeros((2, *expected.shape), np.float32)[:, ::2]):
        with pytest.raises(qwen3moe.ArgumentError, match="out"):
            model.forward(tokens, positions="all", out=bad)


def test_two_callers_at_once(model):
    """Whoever comes while a call is under way is told; the call itself is not disturbed."""
    tokens = [int(t) for t in np.random.default_rng(0).integers(0, 256, 300)]
    refused = []

    def intrude(*_):
        for use in (session.fork, session.close, lambda: session.eval([1]), lambda: session.truncate(0)):
            with pytest.raises(qwen3moe.SessionError, match="in use by another call"):
                use()
        refused.append(True)

    with model.session(context=300) as session:
        logits = session.eval(tokens, progress=intrude)
        assert refused
        assert np.array_equal(logits, model.forward(tokens))


def test_interrupt_rolls_back(model):
    """A KeyboardInterrupt in a long evaluation leaves the session as it was, and the next call is right."""
    tokens = [int(t) for t in np.random.default_rng(0).integers(0, 256, 3000)]
    with model.session(context=3100) as session:
        session.eval(tokens[:10])
        main = threading.get_ident()
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            while time.monotonic() - started < 60:
                session.eval(tokens[10:])
                session.truncate(10)
        assert session.position in (10, 3000)  # the interrupt may also fall between the two calls
        session.truncate(10)
        assert np.array_equal(session.eval([3, 4]), model.forward([*tokens[:10], 3, 4]))
