"""Text to token ids and back: NFC, Qwen's cuts, byte-level BPE, and the tokens that stand for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qwen3moe.errors import ArgumentError, TokenizerError
from qwen3moe.text_stream import TextStream
from qwen3moe.tokens import TokenIds, as_tokens
from qwen3moe.vocabulary import BYTE_CHARACTERS, Kind, read_vocabulary

if TYPE_CHECKING:
    import tokenizers

# What merges never cross: contractions, words with the character before them, single digits, signs with the line ends
# after them, and white space, whose last character goes to the word that follows.
_CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


class Tokenizer:
    """The tokenizer of a file; immutable, and shared by threads."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.vocabulary = read_vocabulary(metadata)

    def encode(self, text: str, *, special: bool = True, beginning: bool = True) -> list[int]:
        """The ids of a text. With `special`, control tokens written in it, as <|im_end|>, become what they name.

        With both, the token that begins a text comes first, where the file wants one.
        """
        if not isinstance(text, str):
            raise ArgumentError(f"text is {text!r:.40} ({type(text).__name__}); expected str")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(f"text has {text[error.start]!r} at {error.start}, which is no character") from None
        ids: list[int] = (self._all if special else self._no_control).encode(text).ids
        first = self.vocabulary.beginning
        return [first, *ids] if first is not None and special and beginning else ids

    def decode(self, tokens: TokenIds, *, special: bool = True) -> str:
        """The text of ids; without `special`, control tokens show nothing. Bytes that are no UTF-8 become U+FFFD."""
        ids = as_tokens(tokens, empty=True).tolist()
        return b"".join(self.bytes_of(i, special=special) for i in ids).decode("utf-8", "replace")

    def stream(self, *, special: bool = False) -> TextStream:
        """A decoder for tokens that come one by one."""
        return TextStream(lambda token: self.bytes_of(token, special=special))

    def bytes_of(self, token: int, *, special: bool = True) -> bytes:
        """What a token adds to a text."""
        if not 0 <= token < len(self.vocabulary.tokens):
            raise ArgumentError(f"token {token} is not among the {len(self.vocabulary.tokens)} of the vocabulary")
        text, kind = self.vocabulary.tokens[token], self.vocabulary.kinds[token]
        if kind == Kind.UNUSED or (kind in (Kind.CONTROL, Kind.UNKNOWN) and not special):
            return b""
        if kind == Kind.NORMAL and all(character in _BYTES for character in text):
            return bytes(_BYTES[character] for character in text)
        return text.encode()

    @cached_property
    def _all(self) -> tokenizers.Tokenizer:
        return self._make(Kind.CONTROL, Kind.USER_DEFINED)

    @cached_property
    def _no_control(self) -> tokenizers.Tokenizer:
        return self._make(Kind.USER_DEFINED)

    @cached_property
    def _model(self) -> tokenizers.models.BPE:
        from tokenizers import models  # here, because importing it costs time that work on ids need not spend

        try:
            return models.BPE(self.vocabulary.ids, self.vocabulary.merges)
        except Exception as error:
            raise TokenizerError(f"the vocabulary cannot be used: {error}") from error

    def _make(self, *found_in_text: Kind) -> tokenizers.Tokenizer:
        from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

        made = Tokenizer(self._model)
        made.normalizer = normalizers.NFC()
        cuts = pre_tokenizers.Split(Regex(_CUTS), behavior="isolated")
        alphabet = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = pre_tokenizers.Sequence([cuts, alphabet])
        pairs = zip(self.vocabulary.tokens, self.vocabulary.kinds, strict=True)
        made.add_tokens([AddedToken(token, normalized=False) for token, kind in pairs if kind in found_in_text])
        return made
