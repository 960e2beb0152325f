"""The vocabulary: complete, consistent, and the same to an independent BPE."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from qwen3moe.synth import synth
from tests.shapes import TINY

from .models import metadata

NORMAL, CONTROL, UNUSED = 1, 3, 5
SIZES = [264, 320, 1000, 50000]
TINIEST = TINY | dict(layers=1, hidden=8, head_dim=2, ff=8)


@pytest.fixture(scope="module", params=SIZES)
def vocabulary(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "m.gguf"
    return metadata(synth(path, types="F16", **TINIEST | dict(vocab=request.param))) | {"size": request.param}


def bpe(vocabulary):
    tokens = vocabulary["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in vocabulary["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_tokens_fill_the_vocabulary_once_each(vocabulary):
    tokens, types = vocabulary["tokenizer.ggml.tokens"], vocabulary["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == vocabulary["size"]
    assert len(set(tokens)) == len(tokens)
    regular = types.count(NORMAL)
    assert types == [NORMAL] * regular + [CONTROL] * 3 + [UNUSED] * (len(types) - regular - 3)
    assert types[-1] == UNUSED


def test_bytes_come_first_in_the_usual_alphabet(vocabulary):
    tokens = vocabulary["tokenizer.ggml.tokens"]
    assert sorted(tokens[:256]) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert tokens[:3] == ["!", '"', "#"]
    assert tokens[188] == "Ā" and tokens[220] == "Ġ", "bytes 0 and 32, as in GPT-2"


def test_every_merge_makes_the_next_token_of_two_earlier_ones(vocabulary):
    tokens, merges = vocabulary["tokenizer.ggml.tokens"], vocabulary["tokenizer.ggml.merges"]
    ids = {token: i for i, token in enumerate(tokens)}
    assert len(merges) == vocabulary["tokenizer.ggml.token_type"].count(NORMAL) - 256
    for i, merge in enumerate(merges):
        left, right = merge.split(" ")
        assert tokens[256 + i] == left + right
        assert max(ids[left], ids[right]) < 256 + i


def test_control_tokens_are_those_of_chatml(vocabulary):
    tokens = vocabulary["tokenizer.ggml.tokens"]
    assert tokens[vocabulary["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[vocabulary["tokenizer.ggml.padding_token_id"]] == "<|endoftext|>"
    assert tokens[vocabulary["tokenizer.ggml.bos_token_id"]] == "<|endoftext|>"
    assert tokens[vocabulary["tokenizer.ggml.eos_token_id"] - 1] == "<|im_start|>"
    assert "<|im_start|>" in vocabulary["tokenizer.chat_template"]


def test_any_text_comes_back(vocabulary):
    tokenizer = bpe(vocabulary)
    for text in ("def f(x):\n    return self.value", "naïve Größe 模型 🙂", "\x00\x7f \t", "kato bamimo"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_merges_lead_to_their_tokens(vocabulary):
    """Encoding a token's own text gives that token, but for a few steps on the way to a word."""
    tokens, tokenizer = vocabulary["tokenizer.ggml.tokens"], bpe(vocabulary)
    made = range(256, 256 + len(vocabulary["tokenizer.ggml.merges"]))
    found = [tokenizer.encode(tokenizer.decoder.decode([tokens[i]])).ids == [i] for i in made]
    assert sum(found) >= 0.95 * len(made)


@pytest.mark.parametrize("word", [" the", " return", "def", " self", "import", "==", "\n\n", " hello"])
def test_words_are_one_token(tmp_path, word):
    assert len(bpe(metadata(synth(tmp_path / "m.gguf"))).encode(word).ids) == 1


def test_the_chat_template_renders(vocabulary):
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Template(vocabulary["tokenizer.chat_template"])
    messages = [{"role": "user", "content": "Hi"}]
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
