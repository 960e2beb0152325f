"""Log-probabilities of texts, perplexity by both conventions, and the experts of a text."""

import math

import numpy as np
import pytest
import torch

import qwen3moe
from qwen3moe import scoring
from tests.devices import others
from tests.text.models import rewrite

DEVICES = [pytest.param(d, marks=[pytest.mark.cuda] if d.startswith("cuda") else []) for d in others()]
RNG = np.random.default_rng(3)
RAGGED = [RNG.integers(0, 256, n).tolist() for n in (40, 1, 2, 300, 7, 0, 90)]
LONG = RNG.integers(0, 256, 700).tolist()


def bits(scores):
    return [(s.tokens.tolist(), s.logprobs.tobytes(), s.best.tolist()) for s in scores]


def by_torch(model, tokens):
    logits = torch.from_numpy(model.forward(tokens, "all")[:-1]).double()
    return torch.log_softmax(logits, -1)[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])].numpy()


# ---- score


def test_scores_are_log_softmax(model):
    (score,) = model.score(RAGGED[0])
    np.testing.assert_allclose(score.logprobs, by_torch(model, RAGGED[0]), rtol=3e-6, atol=1e-6)
    assert score.tokens.tolist() == RAGGED[0]
    assert score.best.tolist() == (model.forward(RAGGED[0], "all")[:-1].argmax(1) == RAGGED[0][1:]).tolist()
    assert score.total == pytest.approx(float(score.logprobs.astype(np.float64).sum()))
    assert score.perplexity == pytest.approx(math.exp(-score.logprobs.astype(np.float64).mean()))


def test_ragged_texts_together_equal_each_alone(model):
    assert bits(model.score(RAGGED)) == [bits(model.score([text]))[0] for text in RAGGED]
    assert [len(score.logprobs) for score in model.score(RAGGED)] == [max(len(t) - 1, 0) for t in RAGGED]


@pytest.mark.parametrize(("threads", "batch"), [(1, 256), (3, 5), (2, 64)])
def test_threads_and_batches(small_model_path, model, threads, batch):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=threads, batch=batch) as other:
        assert bits(other.score(RAGGED)) == bits(model.score(RAGGED))


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_rounds_and_groups(model, monkeypatch, rows):
    """However few logits and tokens are held at a time."""
    expected = bits(model.score(RAGGED))
    monkeypatch.setattr(scoring, "_LOGITS_BYTES", rows * 4 * model.config["vocab"])
    monkeypatch.setattr(scoring, "_GROUP", 0)
    assert bits(model.score(RAGGED)) == expected


@pytest.mark.parametrize("device", DEVICES)
def test_devices(small_model_path, model, device):
    with qwen3moe.Model.from_gguf(small_model_path, device) as other:
        assert bits(other.score(RAGGED)) == bits(model.score(RAGGED))


def test_texts(model):
    texts = ["def f(x):", "", "a list of"]
    scores = model.score(texts)
    assert [score.tokens.tolist() for score in scores] == [model.tokenize(text) for text in texts]
    assert bits(model.score(texts[0])) == bits(scores[:1])
    assert (scores[1].total, len(scores[1].tokens)) == (0.0, 0) and math.isnan(scores[1].perplexity)


def test_what_is_generated_scores_as_it_was_generated(model):
    """In bits: both are of the model's own logits."""
    tokens = model.tokenize("def f(x):")
    (completion,) = model.generate(tokens, max_tokens=10, temperature=1.0, seed=4).finish()
    (score,) = model.score(tokens + completion.tokens)
    assert score.logprobs[len(tokens) - 1 :].tolist() == completion.logprobs


def test_progress(model):
    seen = []
    model.score(RAGGED, progress=lambda done, total: seen.append((done, total)))
    work = sum(max(len(text) - 1, 0) for text in RAGGED)
    assert seen[-1] == (work, work)
    assert seen == sorted(seen) and {total for _, total in seen} == {work}


def test_text_longer_than_the_context(model):
    with pytest.raises(qwen3moe.ArgumentError, match="context is"):
        model.score([[1] * (model.config["context"] + 2)])


# ---- perplexity


def by_windows(model, tokens, window, stride):
    """HF's way: windows by stride, labels before the last `new` tokens masked, the model's own shift of labels."""
    losses, previous = [], 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + window, len(tokens))
        labels = torch.tensor(tokens[begin:end])
        labels[: -(end - previous)] = -100
        logits = torch.from_numpy(model.forward(tokens[begin:end], "all")).double()
        loss = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="none", ignore_index=-100)
        losses += loss[labels[1:] != -100].tolist()
        previous = end
        if end == len(tokens):
            break
    return losses


@pytest.mark.parametrize(("window", "stride"), [(64, 40), (64, 64), (100, 33), (700, 350), (512, 256), (50, 1)])
def test_the_hf_convention(model, window, stride):
    tokens = LONG if stride > 1 else LONG[:60]
    losses = by_windows(model, tokens, window, stride)
    found = model.perplexity(tokens, window=window, stride=stride)
    assert found.tokens == len(losses)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-6)
    error = math.exp(np.mean(losses)) * np.std(losses) / math.sqrt(len(losses) - 1)
    assert found.standard_error == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("window", [64, 101, 350])
def test_the_llama_cpp_convention(model, window):
    losses = []
    for begin in range(0, len(LONG) - window + 1, window):
        losses += (-by_torch(model, LONG[begin : begin + window]))[window // 2 :].tolist()
    found = model.perplexity(LONG, window=window, convention="llama.cpp")
    assert (found.tokens, found.windows) == (len(losses), len(LONG) // window)
    assert found.tokens == found.windows * (window - 1 - window // 2)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-6)


def test_the_defaults(model):
    found = model.perplexity(LONG)
    assert (found.window, found.stride, found.convention) == (512, 256, "hf")
    assert found.tokens == len(LONG) - 1
    assert str(found).startswith(f"perplexity {found.perplexity:.4f} +/- ")
    text = "def f(x):\n    return x\n"
    assert model.perplexity(text).nll == pytest.approx(-model.score(text)[0].total / (len(model.tokenize(text)) - 1))


def test_a_beginning_of_its_own(small_model_path, tmp_path, model):
    """Where the file wants one: before the text by one convention, in each window by the other."""
    path = rewrite(small_model_path, tmp_path / "m.gguf", lambda k, v: True if k.endswith("add_bos_token") else v)
    text = "def f(x):\n    return x\n" * 8
    with qwen3moe.Model.from_gguf(path) as begun:
        tokens = begun.tokenize(text)
        first = tokens[0]
        assert tokens[1:] == model.tokenize(text)
        windows = [[first, *tokens[i + 1 : i + 16]] for i in range(0, len(tokens) - 15, 16)]
        losses = [x for w in windows for x in (-by_torch(model, w))[8:].tolist()]
        found = begun.perplexity(text, window=16, convention="llama.cpp")
        assert found.nll == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(window=1), "window is 1"),
        (dict(window=10**6), "window is 1000000"),
        (dict(window=64, stride=65), "stride is 65"),
        (dict(stride=0), "stride is 0"),
        (dict(convention="gpt"), "'gpt'"),
        (dict(window=351, convention="llama.cpp"), "two windows of 351"),
        (dict(window=64, stride=3, convention="llama.cpp"), "leave it out"),
        (dict(window=2, convention="llama.cpp"), "less than 3"),
        (dict(text=[1]), "1 tokens"),
        (dict(text=""), "text is empty"),
        (dict(text=["a", "b"]), "expected one"),
    ],
    ids=str,
)
def test_refusals(model, arguments, words):
    with pytest.raises(qwen3moe.ArgumentError) as refusal:
        model.perplexity(**{"text": LONG, **arguments})
    assert words in str(refusal.value)


# ---- experts


def test_expert_stats(model, monkeypatch):
    monkeypatch.setattr("qwen3moe.experts._CHUNK", 64)
    stats = model.expert_stats(LONG[:150])
    trace = model.trace(LONG[:150], "router.*")
    layers, experts = model.config["layers"], model.config["experts"]
    assert stats.counts.shape == stats.weights.shape == (layers, experts) and stats.tokens == 150
    for layer in range(layers):
        ids, weights = trace[f"layers.{layer}.moe_router.ids"], trace[f"layers.{layer}.moe_router.weights"]
        for expert in range(experts):
            assert stats.counts[layer, expert] == (ids == expert).sum()
            if (ids == expert).any():
                assert stats.weights[layer, expert] == pytest.approx(weights[ids == expert].mean())
        shares = np.bincount(ids.ravel(), minlength=experts) / ids.size
        assert stats.entropy[layer] == pytest.approx(-sum(p * math.log2(p) for p in shares if p > 0))
    assert (stats.weights[stats.counts == 0] == 0).all()
    assert str(stats).count("\n") == layers + 1
    assert np.array_equal(stats.to_dict()["counts"], stats.counts)


def test_experts_of_one_token(model):
    stats = model.expert_stats([5])
    assert (stats.counts.sum(axis=1) == model.config["experts_used"]).all()


def test_experts_of_a_text_longer_than_the_context(tmp_path, monkeypatch):
    monkeypatch.setattr("qwen3moe.experts._CHUNK", 10)
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", layers=1, context=16)
    with qwen3moe.Model.from_gguf(path, "cpu") as short:
        whole = short.expert_stats(LONG[:40])
        windows = [short.expert_stats(LONG[i : min(i + 16, 40)]) for i in (0, 16, 32)]
        assert np.array_equal(whole.counts, sum(window.counts for window in windows))
        sums = sum(window.counts * window.weights for window in windows)
        np.testing.assert_allclose(whole.counts * whole.weights, sums)
