"""The vocabulary that a GGUF file's metadata describes, checked before anything relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

from qwen3moe.errors import TokenizerError

T = TypeVar("T")

_MODEL, _PRETOKENIZER = "gpt2", "qwen2"

# Tokens that end a text besides those that the file names, where they are control tokens: one file names one only.
_ENDS = ("<|im_end|>", "<|endoftext|>")


_NAMES = {"bos": "bos", "eos": "eos", "pad": "padding"}


class Kind(IntEnum):
    """What a token is, as GGUF numbers it."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


def _byte_characters() -> list[str]:
    """Printable characters of Latin-1 show their own byte; all other bytes, in order, the characters from 256 on."""
    others = iter(range(256, 512))
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


BYTE_CHARACTERS = _byte_characters()


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, in the alphabet of `BYTE_CHARACTERS`, and how text becomes them."""

    tokens: list[str]
    kinds: list[Kind]
    merges: list[tuple[str, str]]
    ids: dict[str, int]
    beginning: int | None  # where every text starts with a token of its own
    ends: frozenset[int]
    names: dict[str, str]  # the text of special tokens by what a chat template calls them
    chat_template: str | None

    def control(self, text: str) -> int | None:
        """The control token that is written so."""
        token = self.ids.get(text)
        return token if token is not None and self.kinds[token] == Kind.CONTROL else None


def read_vocabulary(metadata: Mapping[str, Any]) -> Vocabulary:
    """Refuses what is missing, malformed, or of another kind than Qwen's byte-level BPE."""
    if "tokenizer.ggml.tokens" not in metadata:
        raise TokenizerError("the file has no vocabulary (tokenizer.ggml.tokens is missing): give token ids, not text")
    for key, expected in (("model", _MODEL), ("pre", _PRETOKENIZER)):
        found = metadata.get(f"tokenizer.ggml.{key}")
        if found != expected:
            _refuse(key, "nothing" if found is None else repr(found), f"{expected!r}, the only one that is supported")
    tokens = _strings(metadata, "tokens")
    ids = {token: i for i, token in enumerate(tokens)}
    _check_tokens(tokens, ids)
    kinds = _kinds(metadata, len(tokens))
    return Vocabulary(
        tokens=tokens,
        kinds=kinds,
        merges=_merges(_strings(metadata, "merges"), ids, kinds),
        ids=ids,
        beginning=_beginning(metadata, len(tokens)),
        ends=_ends(metadata, ids, kinds),
        names=_names(metadata, tokens),
        chat_template=_optional(metadata, "tokenizer.chat_template", str),
    )


def _refuse(key: str, found: str, expected: str) -> NoReturn:
    raise TokenizerError(f"tokenizer.ggml.{key} is {found:.200}; expected {expected}")


def _strings(metadata: Mapping[str, Any], key: str) -> list[str]:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _refuse(key, "missing" if value is None else "not a list of strings", "a list of strings")
    return value


def _optional(metadata: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    value = metadata.get(key)
    if value is not None and type(value) is not kind:
        raise TokenizerError(f"{key} is {value!r:.100}; expected {kind.__name__}")
    return value


def _check_tokens(tokens: list[str], ids: dict[str, int]) -> None:
    if len(ids) != len(tokens):
        twice = next(i for i, token in enumerate(tokens) if ids[token] != i)
        _refuse("tokens", f"{tokens[twice]!r:.100} at both {twice} and {ids[tokens[twice]]}", "every token once")
    if "" in ids:
        _refuse("tokens", f"empty at {ids['']}", "at least one character in each")
    for byte, character in enumerate(BYTE_CHARACTERS):
        if character not in ids:
            _refuse("tokens", f"without {character!r}, which stands for the byte {byte}", "all 256 bytes")


def _kinds(metadata: Mapping[str, Any], count: int) -> list[Kind]:
    value = metadata.get("tokenizer.ggml.token_type")
    if value is None:
        return [Kind.NORMAL] * count
    if not isinstance(value, list) or len(value) != count:
        _refuse("token_type", f"{len(value)} types" if isinstance(value, list) else "no list", f"one of {count} tokens")
    known = {int(kind): kind for kind in Kind}
    for i, number in enumerate(value):
        if type(number) is not int or number not in known:
            _refuse("token_type", f"{number!r} at {i}", "numbers from 1 to 5")
    return [known[number] for number in value]


def _merges(lines: list[str], ids: dict[str, int], kinds: list[Kind]) -> list[tuple[str, str]]:
    merges: dict[tuple[str, str], None] = {}
    for i, line in enumerate(lines):
        left, _, right = line.partition(" ")
        for part in (left, right, left + right):
            if part not in ids:
                _refuse("merges", f"{line!r:.100} at {i}, where {part!r:.100} is no token", "tokens that make a third")
        if kinds[ids[left + right]] == Kind.CONTROL:
            _refuse("merges", f"{line!r:.100} at {i}, which makes a control token", "merges of text")
        if (left, right) in merges:
            _refuse("merges", f"{line!r:.100} again at {i}", "every merge once")
        merges[left, right] = None
    return list(merges)


def _id(metadata: Mapping[str, Any], name: str, count: int) -> int | None:
    value = _optional(metadata, f"tokenizer.ggml.{name}_token_id", int)
    if value is not None and not 0 <= value < count:
        _refuse(f"{name}_token_id", str(value), f"0 to {count - 1}")
    return value


def _beginning(metadata: Mapping[str, Any], count: int) -> int | None:
    first = _id(metadata, "bos", count)
    if not _optional(metadata, "tokenizer.ggml.add_bos_token", bool):
        return None
    if first is None:
        _refuse("add_bos_token", "true without a bos_token_id", "both")
    return first


def _names(metadata: Mapping[str, Any], tokens: list[str]) -> dict[str, str]:
    ids = {f"{name}_token": _id(metadata, key, len(tokens)) for name, key in _NAMES.items()}
    return {name: tokens[i] for name, i in ids.items() if i is not None}


def named_ends(metadata: Mapping[str, Any], count: int = 2**31) -> frozenset[int]:
    """The end tokens that a file names, with or without a vocabulary."""
    ids = (_id(metadata, name, count) for name in ("eos", "eot", "eom"))
    return frozenset(i for i in ids if i is not None)


def _ends(metadata: Mapping[str, Any], ids: dict[str, int], kinds: list[Kind]) -> frozenset[int]:
    usual = {ids[token] for token in _ENDS if token in ids and kinds[ids[token]] == Kind.CONTROL}
    return frozenset(usual) | named_ends(metadata, len(ids))
