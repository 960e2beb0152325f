"""Vocabularies as metadata, and the reference tokenizer made of them."""

import functools
import json
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from qwen3moe import _core
from tests.text.corpus import FILES, TEXTS

REAL = Path(__file__).parents[3] / "shared" / "data" / "ggml-vocab-qwen2.gguf"

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


@functools.cache
def real():
    return _core.GGUFFile(REAL).metadata


@functools.cache
def trained():
    """A small BPE trained on the corpus, as metadata; with control tokens, one of a user's, and an unused one.

    It is trained on whole texts, so that its merges would go anywhere if nothing cut the text before.
    """
    made = tokenizers.Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(TEXTS + FILES, trainer)
    vocabulary = made.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = [" ".join(pair) for pair in tokenizer_merges(made)]
    extra = [("<|endoftext|>", 3), ("<|im_start|>", 3), ("<|im_end|>", 3), ("<tool_call>", 4), ("[PAD]", 5)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens + [token for token, _ in extra],
        "tokenizer.ggml.token_type": [NORMAL] * len(tokens) + [kind for _, kind in extra],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": len(tokens) + 2,
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.padding_token_id": len(tokens),
    }


def tokenizer_merges(made):
    merges = json.loads(made.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges]


def reference(metadata):
    """The tokenizer of transformers with the same vocabulary: its own cuts, normalisation and decoding."""
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    vocabulary = {token: i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == NORMAL}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    made = Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    for token, kind in zip(tokens, kinds, strict=True):
        if kind in (CONTROL, USER_DEFINED):
            made.add_tokens(
                AddedToken(token, special=kind == CONTROL, normalized=False), special_tokens=kind == CONTROL
            )
    return made
