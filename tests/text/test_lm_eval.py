"""The evaluation harness itself on local tasks, and its own HuggingFace model as the reference."""

import json
import math
import os

import numpy as np
import pytest

harness = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

import qwen3moe  # noqa: E402
from qwen3moe.lm_eval import HarnessModel  # noqa: E402
from tests.reference import hf  # noqa: E402
from tests.text.vocabularies import reference  # noqa: E402

PAIRS = [
    ("def f(x):", " return x"),
    ("a list of ", "values"),
    ("import", " the first number in"),
    ("", "def"),
    ("x " * 40, "= 1\n"),
]
TEXTS = ["def f(x):\n    return x\n", "a", "the value of a list is the first number " * 4]


@pytest.fixture(scope="module")
def ours(model):
    return HarnessModel(model)


@pytest.fixture(scope="module")
def theirs(small_model_path, model):
    tokenizer = reference(model.metadata())
    tokenizer.add_special_tokens(
        {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    )
    return HFLM(pretrained=hf.load(str(small_model_path)), tokenizer=tokenizer, max_length=4096, batch_size=1)


def instances(kind, arguments):
    return [Instance(kind, {}, tuple(args), i) for i, args in enumerate(arguments)]


# ---- against the harness's own model


def test_loglikelihood(ours, theirs):
    requests = instances("loglikelihood", PAIRS)
    for (found, best), (expected, also) in zip(
        ours.loglikelihood(requests), theirs.loglikelihood(requests, disable_tqdm=True), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3) and best == also


@pytest.mark.parametrize("max_length", [4096, 20, 9])
def test_loglikelihood_rolling(model, theirs, max_length, monkeypatch):
    ours = HarnessModel(model, max_length=max_length)
    monkeypatch.setattr(theirs, "_max_length", max_length)
    requests = instances("loglikelihood_rolling", [(text,) for text in TEXTS])
    expected = theirs.loglikelihood_rolling(requests, disable_tqdm=True)
    np.testing.assert_allclose(ours.loglikelihood_rolling(requests), expected, rtol=1e-3)


def test_generate_until(ours, theirs):
    arguments = [(text, {"until": ["e", "\n\n"], "max_gen_toks": 12, "do_sample": False}) for text in TEXTS]
    arguments += [(TEXTS[0], {"until": [], "max_gen_toks": 5}), (TEXTS[1], {"until": "o", "max_gen_toks": 9})]
    requests = instances("generate_until", arguments)
    assert ours.generate_until(requests) == theirs.generate_until(requests, disable_tqdm=True)


# ---- by definition


def test_loglikelihood_is_the_score_of_the_tokens(ours, model):
    ((found, best),) = ours.loglikelihood(instances("loglikelihood", PAIRS[:1]))
    context, whole = model.tokenize(PAIRS[0][0]), model.tokenize("".join(PAIRS[0]))
    (score,) = model.score([whole])
    assert found == math.fsum(score.logprobs[len(context) - 1 :].tolist())
    greedy = model.generate(context, max_tokens=3).finish()[0]
    ((of_greedy, is_best),) = ours._loglikelihood_tokens([(None, context, greedy.tokens)])
    assert is_best and of_greedy == math.fsum(greedy.logprobs) and not best


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_samples(model, batch_size):
    """The same request once more has another seed; how many run at once changes nothing."""
    options = {"until": [], "max_gen_toks": 6, "do_sample": True, "temperature": 1.2, "top_p": 0.99}
    requests = instances("generate_until", [(TEXTS[0], options)] * 3 + [(TEXTS[1], options)])
    found = HarnessModel(model, batch_size=batch_size).generate_until(requests)
    known = dict(max_tokens=6, temperature=1.2, top_p=0.99)
    texts = [model.generate(TEXTS[0], seed=seed, **known).finish()[0].text for seed in range(3)]
    assert found == [*texts, model.generate(TEXTS[1], **known).finish()[0].text]


def test_progress(model, capsys):
    ours = HarnessModel(model)
    texts = instances("generate_until", [(text, {"until": [], "max_gen_toks": 1}) for text in TEXTS])
    for call, requests, name in (
        (ours.generate_until, texts, "generate"),
        (ours.loglikelihood, instances("loglikelihood", PAIRS), "score"),
        (ours.loglikelihood_rolling, instances("loglikelihood_rolling", [TEXTS[:1]]), "score"),
    ):
        call(requests)
        assert f"{name}: 100%" in capsys.readouterr().err
        call(requests, disable_tqdm=True)
        assert capsys.readouterr().err == ""


def test_long_prompts_lose_their_beginning(model):
    text = TEXTS[2]
    cut = model.tokenize(text)[-(40 - 8) :]
    found = HarnessModel(model, max_length=40).generate_until(
        instances("generate_until", [(text, {"until": [], "max_gen_toks": 8})])
    )
    assert found == [model.generate(cut, max_tokens=8).finish()[0].text]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_beams": 3}, "num_beams"), ({"max_gen_toks": 10**6}, "leave no room"), ({"temperature": -1}, "temperature")],
)
def test_options_that_are_not_known(ours, options, words):
    with pytest.raises(qwen3moe.ArgumentError, match=words):
        ours.generate_until(instances("generate_until", [("x", {"until": ["a"], **options})]))


# ---- whole evaluations


SHORT = {"until": ["\n"], "max_gen_toks": 4}


def task(name, kind, folder, **more):
    documents = [
        {"context": "def f(x):", "choices": [" return x", " retrun x"], "answer": 0, "text": TEXTS[0]},
        {"context": "a list of", "choices": [" values", " xyzzyx", " numbers"], "answer": 2, "text": TEXTS[2]},
    ]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": kind,
        **more,
    }


def test_an_evaluation(ours, model, tmp_path):
    choice = task(
        "choice", "multiple_choice", tmp_path,
        doc_to_text="{{context}}", doc_to_choice="{{choices}}", doc_to_target="answer", target_delimiter="",
        metric_list=[{"metric": "acc"}],
    )  # fmt: skip
    rolling = task(
        "rolling", "loglikelihood_rolling", tmp_path,
        doc_to_text="", doc_to_target="{{text}}", metric_list=[{"metric": "word_perplexity"}],
    )  # fmt: skip
    until = task(
        "until", "generate_until", tmp_path,
        doc_to_text="{{context}}", doc_to_target="{{choices[0]}}", generation_kwargs=SHORT,
        metric_list=[{"metric": "exact_match"}],
    )  # fmt: skip
    found = harness.simple_evaluate(model=ours, tasks=[choice, rolling, until], bootstrap_iters=0, log_samples=True)
    assert set(found["results"]) == {"choice", "rolling", "until"}

    for sample in found["samples"]["choice"]:
        document = sample["doc"]
        scores = model.score([document["context"] + text for text in document["choices"]])
        first = len(model.tokenize(document["context"])) - 1
        totals = [math.fsum(score.logprobs[first:].tolist()) for score in scores]
        assert [response[0][0] for response in sample["resps"]] == totals
        assert sample["acc"] == float(int(np.argmax(totals)) == document["answer"])
    end = model.tokenize("<|endoftext|>")
    for sample in found["samples"]["rolling"]:
        (score,) = model.score([end + model.tokenize(sample["doc"]["text"])])
        assert sample["resps"][0][0] == score.total
    for sample in found["samples"]["until"]:
        text = model.generate(sample["doc"]["context"], max_tokens=4, stop="\n").finish()[0].text
        assert sample["resps"] == [[text]]


def test_an_evaluation_as_a_chat(ours, model, tmp_path):
    until = task(
        "until", "generate_until", tmp_path,
        doc_to_text="{{context}}", doc_to_target="{{choices[0]}}", generation_kwargs=SHORT,
        metric_list=[{"metric": "exact_match"}],
    )  # fmt: skip
    found = harness.simple_evaluate(model=ours, tasks=[until], apply_chat_template=True, log_samples=True)
    for sample in found["samples"]["until"]:
        messages = [{"role": "user", "content": sample["doc"]["context"]}]
        assert sample["resps"] == [[model.chat(messages, max_tokens=4, stop="\n").finish()[0].text]]


def test_by_name(small_model_path, model):
    from lm_eval.api.registry import get_model

    made = get_model("qwen3moe").create_from_arg_string(
        f"path={small_model_path},threads=1,max_length=64", {"batch_size": 2, "max_batch_size": None, "device": "cpu"}
    )
    assert (made.model.threads, made.max_length, made.model.device) == (1, 64, "cpu")
    assert made.tokenizer_name == HarnessModel(model).tokenizer_name
    made.model.close()


def test_an_open_model_has_its_device(model):
    with pytest.raises(qwen3moe.ArgumentError, match="already"):
        HarnessModel(model, device="cpu")
