"""The tokenizer against transformers' Qwen2 tokenizer of the same vocabulary, and what it refuses."""

import copy
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen3moe
from qwen3moe.tokenizer import Tokenizer
from tests.text.corpus import FILES, SPECIAL, TEXTS
from tests.text.vocabularies import REAL, real, reference, trained


@pytest.fixture(scope="module", params=["trained", "real"])
def pair(request):
    """Ours and the reference's tokenizer of one vocabulary."""
    if request.param == "real" and not REAL.exists():
        pytest.skip(f"{REAL.name} is not here")
    metadata = {"trained": trained, "real": real}[request.param]()
    return Tokenizer(metadata), reference(metadata)


@pytest.mark.parametrize("text", TEXTS + SPECIAL)
def test_texts_as_the_reference(pair, text):
    ours, theirs = pair
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)


def test_files_as_the_reference(pair):
    ours, theirs = pair
    for text in FILES:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False)
        assert ours.decode(ids) == text


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=80) | st.text("abĉ '\u2019s\n\r\t 12é\u0301😀\u200d中<|im_end>", max_size=60))
def test_any_text_as_the_reference(text):
    ours, theirs = tokenizers_of_trained()
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 1503), max_size=40))
def test_any_tokens_decode_as_the_reference(ids):
    """Bytes that are no UTF-8 too."""
    ours, theirs = tokenizers_of_trained()
    assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)
    shown = theirs.decode(ids, clean_up_tokenization_spaces=False, skip_special_tokens=True)
    assert ours.decode(ids, special=False) == shown


_TRAINED = []


def tokenizers_of_trained():
    if not _TRAINED:
        _TRAINED.extend((Tokenizer(trained()), reference(trained())))
    return _TRAINED


def test_control_tokens_as_text(pair):
    ours, theirs = pair
    for text in SPECIAL:
        ids = ours.encode(text, special=False)
        assert ids == theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert not set(ids) & ours.vocabulary.ends
        assert ours.decode(ids) == text


def test_a_users_tokens_are_found_with_and_without_special():
    ours, _ = tokenizers_of_trained()
    token = ours.vocabulary.ids["<tool_call>"]
    assert token in ours.encode("x<tool_call>y") and token in ours.encode("x<tool_call>y", special=False)
    assert ours.decode([token], special=False) == "<tool_call>"


def test_unused_tokens_have_no_text():
    ours, _ = tokenizers_of_trained()
    assert ours.decode([ours.vocabulary.ids["[PAD]"]]) == ""
    assert ours.vocabulary.ids["[PAD]"] not in ours.encode("[PAD]")


def test_the_ends(pair):
    ours, _ = pair
    assert {ours.vocabulary.tokens[i] for i in ours.vocabulary.ends} == {"<|im_end|>", "<|endoftext|>"}


def test_a_beginning_where_the_file_asks_for_one():
    plain, begun = Tokenizer(trained()), Tokenizer(trained() | {"tokenizer.ggml.add_bos_token": True})
    first = trained()["tokenizer.ggml.bos_token_id"]
    assert begun.encode("a b") == [first, *plain.encode("a b")]
    assert begun.encode("a b", special=False) == plain.encode("a b")


def test_threads_share_a_tokenizer():
    """Made on first use, by whoever comes first."""
    expected, made = Tokenizer(trained()).encode(FILES[0]), Tokenizer(trained())
    found = []
    threads = [threading.Thread(target=lambda: found.append(made.encode(FILES[0]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


# ---- models


def test_a_model_has_text(model):
    ids = model.tokenize("def f(x):\n    return self.value")
    assert all(type(i) is int for i in ids)
    assert model.detokenize(ids) == "def f(x):\n    return self.value"
    assert model.detokenize(np.array(ids)) == model.detokenize(iter(ids)) == model.detokenize(ids)
    assert (model.tokenize(""), model.detokenize([])) == ([], "")
    end = model.tokenize("<|im_end|>")
    assert len(end) == 1 and len(model.tokenize("<|im_end|>", special=False)) > 1
    assert (model.detokenize(end), model.detokenize(end, special=False)) == ("<|im_end|>", "")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.tokenize(b"x"), "bytes"),
        (lambda m: m.tokenize("a\ud800"), "at 1"),
        (lambda m: m.detokenize([-1]), "token -1"),
        (lambda m: m.detokenize([10**6]), "token 1000000"),
        (lambda m: m.detokenize([1.5]), "tokens[0]"),
    ],
)
def test_arguments_that_are_no_text_or_token(model, call, words):
    with pytest.raises(qwen3moe.ArgumentError) as refusal:
        call(model)
    assert words in str(refusal.value)


# ---- refusals


def spoilt(**changes):
    metadata = copy.deepcopy(trained())
    for key, value in changes.items():
        name = f"tokenizer.ggml.{key}"
        metadata[name] = value(metadata[name]) if callable(value) else value
        if value is None:
            del metadata[name]
    return metadata


REFUSED = {
    "no vocabulary": (dict(tokens=None), "tokens is missing"),
    "no model": (dict(model=None), "nothing"),
    "another model": (dict(model="llama"), "'llama'"),
    "a model that is no name": (dict(model=3), "3"),
    "no pre-tokenizer": (dict(pre=None), "nothing"),
    "another pre-tokenizer": (dict(pre="llama-bpe"), "'llama-bpe'"),
    "tokens that are none": (dict(tokens=[1, 2]), "list of strings"),
    "one token": (dict(tokens="x"), "list of strings"),
    "a token twice": (dict(tokens=lambda t: [*t[:-1], t[0]]), "every token once"),
    "an empty token": (dict(tokens=lambda t: [*t[:-1], ""]), "empty"),
    "a byte missing": (dict(tokens=lambda t: ["?!?", *t[1:]]), "all 256 bytes"),
    "too few types": (dict(token_type=lambda t: t[:-1]), "types"),
    "too many types": (dict(token_type=lambda t: [*t, 1]), "types"),
    "a type that is none": (dict(token_type=lambda t: [*t[:-1], 9]), "9 at"),
    "a type that is no number": (dict(token_type=lambda t: [*t[:-1], "1"]), "'1' at"),
    "types that are no list": (dict(token_type=1), "no list"),
    "no merges": (dict(merges=None), "missing"),
    "merges that are no list": (dict(merges="a b"), "list of strings"),
    "a merge of one": (dict(merges=lambda m: [*m, "abc"]), "is no token"),
    "a merge of nothing": (dict(merges=lambda m: [*m, " a"]), "is no token"),
    "a merge of unknown tokens": (dict(merges=lambda m: [*m, "日 本"]), "'日' is no token"),
    "a merge that makes no token": (dict(merges=lambda m: [*m, "Ġ !"]), "'Ġ!' is no token"),
    "a merge of three": (dict(merges=lambda m: [*m, "a b c"]), "'b c' is no token"),
    "a merge twice": (dict(merges=lambda m: [*m, m[0]]), "again"),
    "an end out of range": (dict(eos_token_id=10**9), "1000000000"),
    "an end that is no number": (dict(eos_token_id="x"), "'x'"),
    "an end below zero": (dict(eos_token_id=-1), "-1"),
    "a beginning that is not named": (dict(bos_token_id=None, add_bos_token=True), "add_bos_token"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_metadata_is_refused(case):
    changes, words = REFUSED[case]
    metadata = spoilt(**changes)
    with pytest.raises(qwen3moe.TokenizerError) as refusal:
        Tokenizer(metadata)
    assert words in str(refusal.value) and len(str(refusal.value)) < 600


def test_a_merge_cannot_make_a_control_token():
    metadata = copy.deepcopy(trained())
    metadata["tokenizer.ggml.token_type"][metadata["tokenizer.ggml.tokens"].index("in")] = 3
    with pytest.raises(qwen3moe.TokenizerError, match="control token"):
        Tokenizer(metadata)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_metadata_is_used_or_refused(data):
    """Whatever a file says: a tokenizer whose text comes back, or a typed error."""
    anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    metadata = copy.deepcopy(trained())
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(metadata)))
        value = metadata[key]
        if isinstance(value, list) and value and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(value) - 1))
            value[at] = data.draw(anything | st.sampled_from(value))
        else:
            metadata[key] = data.draw(anything | st.lists(anything, max_size=4))
    try:
        made = Tokenizer(metadata)
    except qwen3moe.TokenizerError:
        return
    assert made.decode(made.encode("def f(): 'é' 中")) == "def f(): 'é' 中"
