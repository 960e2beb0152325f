"""What a device chooses is what the host chooses of its logits: the token, and its log-probability's bits."""

import shutil
import threading

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core
from tests.devices import make, prompt, sized
from tests.forward.test_nonfinite import INF_HALF, spoil
from tests.sampling import reference
from tests.shapes import TINY


def by_host(logits):
    """The bits of the choice that the host makes of a row of logits."""
    token = _core.sampling.argmax(logits)
    return token, _core.sampling.log_probabilities(logits[None], np.array([token], np.int32))[0].tobytes()


def bits(choice):
    token, logprob = choice
    return token, np.float32(logprob).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("choices")


def opened(case, folder, device, **options):
    return qwen3moe.Model.from_gguf(make(case, folder), device, **options)


@pytest.mark.parametrize("case", ["mixed", "tied", "large vocabulary", "F32", "odd Q8_0", "300 experts"])
def test_a_prompt_and_tokens_after_it(folder, device, case):
    """One token takes ways of its own, from the second time on those of a recording."""
    tokens = prompt(9, seed=len(case))
    with opened(case, folder, device) as model, model.session(9) as session:
        expected = [by_host(row) for row in model.forward(tokens, "all")]
        assert bits(session.choose(tokens[:5])) == expected[4]
        assert [bits(session.choose([token])) for token in tokens[5:]] == expected[5:]
        assert session.tokens.tolist() == tokens.tolist()


def test_choices_and_logits_in_turn(folder, device):
    """A recording for the one does not serve the other."""
    tokens = prompt(12)
    with opened("mixed", folder, device) as model, model.session(12) as session:
        rows = model.forward(tokens, "all")
        for i, token in enumerate(tokens):
            if i % 4 < 2:
                assert bits(session.choose([token])) == by_host(rows[i]), i
            else:
                assert np.array_equal(session.eval([token]), rows[i]), i


@pytest.mark.parametrize("batch", [1, 3, 7, 256])
def test_batches(folder, device, batch):
    """A prompt in pieces, of which the last has the choice."""
    tokens = prompt(sized(device, 200, 40) if batch > 1 else 10)
    with opened("mixed", folder, device, batch=batch) as model, model.session(200) as session:
        assert bits(session.choose(tokens)) == by_host(model.forward(tokens))


@pytest.mark.parametrize(("count", "batch"), [(9, 5), (70, 256)])
def test_sequences_together(folder, device, count, batch):
    """Cut by batches; and more of them than a device takes logits of at a time."""
    prompts = [prompt(1 + seed * 7 % 11, seed=seed) for seed in range(count)]
    with opened("mixed", folder, device, batch=batch) as model:
        expected = [by_host(row) for row in model.forward_batch(prompts)]
        sessions = [model._core.session(20) for _ in prompts]
        assert list(map(bits, _core.choose_batch(sessions, prompts))) == expected
        assert [s.tokens.tolist() for s in sessions] == [p.tolist() for p in prompts]


@pytest.mark.parametrize("vocab", [264, 511, 512, 513, 20000])
def test_any_vocabulary(folder, device, vocab):
    """So many tokens that an order of additions that is another shows in some."""
    path = qwen3moe.synth(folder / f"{vocab}.gguf", "small", **dict(TINY, layers=1, vocab=vocab, types="Q8_0"))
    tokens = prompt(40)
    with qwen3moe.Model.from_gguf(path, device) as model, model.session(40) as session:
        rows = model.forward(tokens, "all")
        for token, row in zip(tokens, rows, strict=True):
            found = bits(session.choose([token]))
            best = int(np.argmax(row))
            assert found == (best, np.float32(reference.log_probability(row, best)).tobytes()) == by_host(row)


@pytest.mark.parametrize("before", [0, 2])
def test_the_lowest_of_equals(folder, tmp_path, device, before):
    """The same row of the head for many tokens, far from each other and near."""
    path = tmp_path / "equal.gguf"
    shutil.copy(make("large vocabulary", folder), path)
    head = next(t for t in _core.GGUFFile(str(path)).tensors if t["name"] == "output.weight")
    rows = np.memmap(path, np.uint8, "r+", head["offset"], (head["shape"][1], head["bytes"] // head["shape"][1]))
    tokens = [1, 2, 3]
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        best = int(np.argmax(model.forward(tokens)))
    equals = [17, 18, 300, 4000, 17900]
    rows[equals] = rows[best]
    rows[[best]] = rows[[0]]
    del rows
    with qwen3moe.Model.from_gguf(path, device) as model, model.session(3) as session:
        logits = model.forward(tokens)
        assert np.flatnonzero(logits == logits.max()).tolist() == equals
        if before:
            session.eval(tokens[:before], "none")
        choice = session.choose(tokens[before:])
        assert choice.id == equals[0] and bits(choice) == by_host(logits)


def test_all_equal(folder, tmp_path, device):
    """A head of zeros: every token is as likely."""
    path = tmp_path / "zeros.gguf"
    shutil.copy(make("F32", folder), path)
    head = next(t for t in _core.GGUFFile(str(path)).tensors if t["name"] == "output.weight")
    np.memmap(path, np.uint8, "r+", head["offset"], (head["bytes"],))[:] = 0
    with qwen3moe.Model.from_gguf(path, device) as model, model.session(4) as session:
        choice = session.choose([1, 2, 3])
        assert choice.id == 0 and choice.logprob == pytest.approx(-np.log(model.config["vocab"]))
        assert bits(session.choose([4])) == bits(choice)


@pytest.mark.parametrize("case", ["mixed", "tied", "F16", "head_dim 128", "odd Q4_0"])
def test_greedy_text(folder, device, case):
    """The same with and without a look at the logits."""
    with opened(case, folder, device) as model:
        prompts = [prompt(n, seed=n) for n in (1, 6, 3)]
        looked_at, chosen = (
            [
                (c.tokens, np.array(c.logprobs, np.float32).tobytes())
                for c in model.generate(prompts, max_tokens=5, logits_processor=processor).finish()
            ]
            for processor in (lambda tokens, logits: logits, None)
        )
    assert chosen == looked_at


# ---- what fails


def test_logits_that_are_not_finite(small_model_path, tmp_path, device):
    copy = shutil.copy(small_model_path, tmp_path / "spoilt.gguf")
    spoil(copy, "output.weight", INF_HALF)
    with qwen3moe.Model.from_gguf(copy, device) as model, model.session(8) as session:
        for tokens in ([1, 2, 3], [4], [4]):
            with pytest.raises(qwen3moe.NumericalError, match="not finite: stage logits, row"):
                session.choose(tokens)
            assert session.position == 0


def test_errors_roll_back(folder, device):
    with opened("mixed", folder, device) as model, model.session(4) as session:
        session.eval([1, 2])
        with pytest.raises(qwen3moe.ContextFullError):
            session.choose([1, 2, 3])
        with pytest.raises(qwen3moe.ArgumentError, match="token 1 is -1"):
            session.choose([1, -1])
        with pytest.raises(qwen3moe.ArgumentError, match="at least one token"):
            session.choose([])
        with pytest.raises(qwen3moe.SessionError, match="in use"):
            _core.choose_batch([session._core] * 2, [np.array([1], np.int32)] * 2)
        with pytest.raises(qwen3moe.ArgumentError, match="one list per session"):
            _core.choose_batch([session._core], [])
        assert bits(session.choose([3])) == by_host(model.forward([1, 2, 3]))


def test_progress_may_stop_it(folder, device):
    """Between two batches; nothing of the first remains."""

    def stop(done, total):
        raise KeyboardInterrupt

    with opened("mixed", folder, device, batch=4) as model, model.session(20) as session:
        with pytest.raises(KeyboardInterrupt):
            session.choose(prompt(12), progress=stop)
        assert session.position == 0
        assert bits(session.choose(prompt(12))) == by_host(model.forward(prompt(12)))


def test_threads_together(folder, device):
    """Each with a session of its own; calls take turns on the device."""
    tokens = prompt(8)
    with opened("mixed", folder, device) as model:
        expected = [by_host(row) for row in model.forward(tokens, "all")]
        found = [[] for _ in range(4)]

        def choose(mine):
            with model.session(8) as session:
                mine.extend(bits(session.choose([token])) for token in tokens)

        threads = [threading.Thread(target=choose, args=(mine,)) for mine in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 4
