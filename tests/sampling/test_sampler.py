"""The choice of a token and log-probabilities, against the definition written once more, and against float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen3moe
from qwen3moe import _core
from qwen3moe.sampling import Sampling
from tests.sampling import reference

sampling = _core.sampling
NONE = np.zeros(0, np.int32)

LOGITS = st.tuples(st.integers(1, 700), st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 4.0, 30.0]), st.booleans())
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 1.0, 0.5, 2.0]) | st.floats(2.0**-20, 2.0**20, width=32),
        "top_k": st.integers(0, 800),
        "top_p": st.sampled_from([1.0, 2.0**-20, 0.5, 0.9, 0.95]) | st.floats(2.0**-20, 1.0),
        "min_p": st.sampled_from([0.0, 1.0, 0.05]) | st.floats(0.0, 1.0),
        "repetition_penalty": st.sampled_from([1.0, 1.1, 2.0]) | st.floats(2.0**-20, 2.0**20, width=32),
    },
)


def logits_of(n, seed, scale, coarse):
    """Coarse ones have many equals; some cannot come."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n) * scale
    x = (np.round(x * 2) / 2 if coarse else x).astype(np.float32)
    x[rng.random(n) < 0.05] = -np.inf
    x[rng.integers(n)] = 0.25
    return x


@settings(max_examples=600, deadline=None)
@given(LOGITS, OPTIONS, st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.data())
def test_choices_equal_the_reference(of, options, seed, position, data):
    logits = logits_of(*of)
    before = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=20))
    found = sampling.choose(logits, np.array(before, np.int32), seed=seed, position=position, **options)
    assert found == reference.choose(logits, before, seed, position, **options)


@pytest.mark.parametrize("options", [dict(top_p=0.6), dict(top_p=0.97), dict(top_k=900), dict(top_k=1500, top_p=0.8)])
@pytest.mark.parametrize(("n", "below"), [(300, 3.0), (3000, 7.5), (50000, 10.8)], ids=["few", "some", "many"])
def test_choices_among_many_unlikely_tokens(n, below, options):
    """One likely token, and others that together are as likely as it: where the cut falls among them shows in draws."""
    logits = (np.random.default_rng(n).standard_normal(n) * 0.3 - below).astype(np.float32)
    logits[n // 2] = 0
    units = reference.candidates(logits, **options)
    tokens, ends = np.array(list(units)), np.cumsum(list(units.values()))
    for position in range(300):
        a, b, _, _ = reference.philox((position, 0, 0, 0), (5, 0))
        drawn = (b << 32 | a) * int(ends[-1]) >> 64
        found = sampling.choose(logits, NONE, temperature=1.0, seed=5, position=position, **options)
        assert found == tokens[np.searchsorted(ends, drawn, side="right")]


@settings(max_examples=300, deadline=None)
@given(LOGITS, st.data())
def test_log_probabilities_equal_the_reference(of, data):
    logits = logits_of(*of)
    tokens = data.draw(st.lists(st.integers(0, len(logits) - 1), min_size=1, max_size=4))
    rows = np.tile(logits, (len(tokens), 1))
    found, best = sampling.log_probabilities(rows, np.array(tokens, np.int32))
    expected = np.array([reference.log_probability(logits, t) for t in tokens], np.float32)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert best.tolist() == [t == int(np.argmax(logits)) for t in tokens]


@pytest.mark.parametrize("n", [1, 255, 256, 257, 151936])
def test_log_probabilities_are_the_true_ones(n):
    logits = (np.random.default_rng(n).standard_normal(n) * 4).astype(np.float32)
    true = logits - np.logaddexp.reduce(logits.astype(np.float64))
    rows = min(n, 50)
    found, _ = sampling.log_probabilities(np.tile(logits, (rows, 1)), np.arange(rows, dtype=np.int32))
    np.testing.assert_allclose(found, true[:rows], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_rows_share_threads(threads):
    rows = np.random.default_rng(0).standard_normal((33, 500)).astype(np.float32)
    targets = np.arange(33, dtype=np.int32)
    alone = [sampling.log_probabilities(rows[i : i + 1], targets[i : i + 1])[0][0] for i in range(33)]
    together, best = sampling.log_probabilities(rows, targets, threads=threads)
    assert together.tolist() == alone and best.tolist() == [int(r.argmax()) == i for i, r in enumerate(rows)]


def test_argmax():
    for logits in ([1, 3, 3, 2], [-1, -1], [0.0, -0.0, 0.0], [-np.inf, -5], [5], list(range(200)) + [199] * 100):
        x = np.array(logits, np.float32)
        assert sampling.argmax(x) == int(np.argmax(x)) == sampling.choose(x, NONE, seed=9, top_k=3)


@pytest.mark.parametrize(
    "options",
    [
        dict(temperature=1.0),
        dict(temperature=0.5),
        dict(temperature=1.0, top_k=5),
        dict(temperature=2.0, top_p=0.8),
        dict(temperature=1.0, min_p=0.1),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_the_softmax_says(options):
    logits = (np.random.default_rng(1).standard_normal(12) * 1.5).astype(np.float32)
    probabilities = np.exp(logits.astype(np.float64) / options["temperature"])
    order = np.argsort(-probabilities)
    kept = order[: options.get("top_k", len(order))]
    share = np.cumsum(probabilities[kept]) / probabilities[kept].sum()
    kept = kept[: int(np.searchsorted(share, options.get("top_p", 1.0) - 1e-9)) + 1]
    kept = [i for i in kept if probabilities[i] >= options.get("min_p", 0.0) * probabilities.max()]
    expected = np.zeros(len(logits))
    expected[kept] = probabilities[kept] / probabilities[kept].sum()

    n = 20000
    counts = np.bincount([sampling.choose(logits, NONE, seed=5, position=i, **options) for i in range(n)], minlength=12)
    assert set(np.flatnonzero(counts)) == set(kept)
    chi_squared = ((counts[kept] - n * expected[kept]) ** 2 / (n * expected[kept])).sum()
    assert chi_squared < len(kept) + 5 * np.sqrt(2 * len(kept)) + 5


def test_seeds_and_positions_matter():
    logits = np.zeros(1000, np.float32)
    by_seed = {sampling.choose(logits, NONE, temperature=1.0, seed=s, position=7) for s in range(100)}
    by_position = {sampling.choose(logits, NONE, temperature=1.0, seed=7, position=p) for p in range(100)}
    high = {sampling.choose(logits, NONE, temperature=1.0, seed=s << 32, position=7) for s in range(100)}
    assert min(len(by_seed), len(by_position), len(high)) > 80


def test_a_penalty_counts_a_token_once():
    logits = np.array([2.0, 1.2, -1.0], np.float32)
    assert sampling.choose(logits, np.array([0, 0, 0], np.int32), repetition_penalty=1.5) == 0
    assert sampling.choose(logits, np.array([0], np.int32), repetition_penalty=2.0) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers(bad):
    logits = np.zeros(300, np.float32)
    logits[299] = bad
    for options in ({}, dict(temperature=1.0)):
        with pytest.raises(qwen3moe.ArgumentError, match="logit 299 is"):
            sampling.choose(logits, NONE, **options)


def test_logits_of_which_none_can_come():
    with pytest.raises(qwen3moe.ArgumentError, match="every logit is -inf"):
        sampling.choose(np.full(5, -np.inf, np.float32), NONE)


def test_one_token_left():
    logits = np.full(500, -np.inf, np.float32)
    logits[77] = -3
    for options in ({}, dict(temperature=1.0, top_p=0.5, min_p=1.0, top_k=3)):
        assert sampling.choose(logits, NONE, **options) == 77


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(temperature=-1.0), "temperature is -1.0"),
        (dict(temperature=float("nan")), "temperature is nan"),
        (dict(temperature=2e6), "temperature is"),
        (dict(temperature="1"), "temperature is '1'"),
        (dict(temperature=True), "temperature is True"),
        (dict(top_k=-1), "top_k is -1"),
        (dict(top_k=1.5), "top_k is 1.5"),
        (dict(top_p=0), "top_p is 0"),
        (dict(top_p=1.01), "top_p is 1.01"),
        (dict(min_p=-0.1), "min_p is -0.1"),
        (dict(min_p=float("inf")), "min_p is inf"),
        (dict(repetition_penalty=0.0), "repetition_penalty is 0.0"),
    ],
)
def test_options_out_of_bounds(options, words):
    with pytest.raises(qwen3moe.ArgumentError) as refusal:
        Sampling(**options)
    assert words in str(refusal.value)
    if isinstance(next(iter(options.values())), float) and "top_k" not in options:
        with pytest.raises(qwen3moe.ArgumentError):
            sampling.choose(np.zeros(3, np.float32), NONE, **{"temperature": 1.0, **options})


def test_tokens_outside_the_vocabulary():
    row = np.zeros((1, 3), np.float32)
    for token in (-1, 3):
        with pytest.raises(qwen3moe.ArgumentError, match=str(token)):
            sampling.log_probabilities(row, np.array([token], np.int32))
        with pytest.raises(qwen3moe.ArgumentError, match=str(token)):
            sampling.choose(row[0], np.array([token], np.int32), repetition_penalty=2.0)
