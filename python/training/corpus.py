"""The text that the bundled model learns from: the source of Python's standard library, and a vocabulary made of it."""

from __future__ import annotations

import ast
import hashlib
import sysconfig
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

VOCAB = 4096
END_OF_TEXT, MESSAGE_START, MESSAGE_END = SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Not source that anyone writes by hand today: tables of character sets, help texts, data of tests, Python 2. Nor is
# what is installed beside the library.
LEFT_OUT = {"encodings", "pydoc_data", "data", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
TESTS = {"test", "tests", "idle_test"}
# Qwen's way of cutting text into words.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Texts by their path in the library. The validation files choose between runs; the test files only measure.

    The library's own tests, where they are installed, are read but never held out.
    """

    train: dict[str, str]
    validation: dict[str, str]
    test: dict[str, str]

    @staticmethod
    def load(folder: Path | None = None, limit: int | None = None) -> Corpus:
        folder = folder or Path(sysconfig.get_path("stdlib"))
        parts: tuple[dict[str, str], ...] = ({}, {}, {})
        for path in sorted(folder.rglob("*.py"))[:limit]:
            name = path.relative_to(folder).as_posix()
            if LEFT_OUT.intersection(Path(name).parts):
                continue
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue
            if text.strip():
                hundredth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") % 100
                held_out = not TESTS.intersection(Path(name).parts)
                parts[1 if held_out and hundredth < 4 else 2 if held_out and hundredth < 8 else 0][name] = text
        return Corpus(*parts)

    def describe(self) -> dict[str, Any]:
        every = self.train | self.validation | self.test
        digest = hashlib.sha256("".join(f"{name}\0{every[name]}\0" for name in sorted(every)).encode())
        return {
            "files": {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)},
            "characters": {
                part: sum(map(len, getattr(self, part).values())) for part in ("train", "validation", "test")
            },
            "validation_files": sorted(self.validation),
            "test_files": sorted(self.test),
            "sha256": digest.hexdigest(),
        }


def functions(text: str) -> list[tuple[str, str, str]]:
    """Name, first line of the docstring and source of the documented functions of a file."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    lines, found = text.splitlines(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (doc := ast.get_docstring(node)):
            source = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])) + "\n"
            if 60 <= len(source) <= 2400:
                found.append((node.name, doc.strip().partition("\n")[0], source))
    return found


def as_chat(name: str, purpose: str, source: str) -> str:
    return (
        f"{MESSAGE_START}user\nWrite the function {name}: {purpose}{MESSAGE_END}\n"
        f"{MESSAGE_START}assistant\n{source}{MESSAGE_END}\n"
    )


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as Qwen's, special tokens last."""
    tokenizer = Tokenizer(BPE(fuse_unk=False, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = BpeTrainer(
        vocab_size=VOCAB - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL])
    return tokenizer


def tokenizer_config(tokenizer: Tokenizer, context: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(text)): {
                "content": text,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for text in SPECIAL
        },
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": MESSAGE_END,
        "errors": "replace",
        "model_max_length": context,
        "pad_token": END_OF_TEXT,
        "split_special_tokens": False,
        "unk_token": None,
    }


@dataclass(frozen=True)
class Documents:
    """Tokens of whole files and of single functions, bare and as an answer in a chat."""

    files: list[Tokens]
    functions: list[Tokens]
    chats: list[Tokens]
    end: int

    @staticmethod
    def of(texts: dict[str, str], tokenizer: Tokenizer) -> Documents:
        def encode(texts: list[str]) -> list[Tokens]:
            return [np.array(found.ids, np.int64) for found in tokenizer.encode_batch(texts)]

        found = sorted({function for text in texts.values() for function in functions(text)})
        return Documents(
            encode(list(texts.values())),
            encode([source for _, _, source in found]),
            encode([as_chat(*function) for function in found]),
            tokenizer.token_to_id(END_OF_TEXT),
        )

    def joined(self, documents: list[Tokens]) -> Tokens:
        """One run of tokens; every document begins with the end-of-text token."""
        return np.concatenate([part for document in documents for part in (np.array([self.end]), document)])

    @property
    def pass_tokens(self) -> int:
        """About as many as a pass has."""
        return len(self.one_pass(np.random.default_rng(0)))

    def one_pass(self, random: np.random.Generator) -> Tokens:
        """All files in random order, and among them a sixth of the functions in either form."""
        chosen = list(self.files)
        for others in (self.functions, self.chats):
            chosen += [others[i] for i in random.permutation(len(others))[: len(others) // 6]]
        return self.joined([chosen[i] for i in random.permutation(len(chosen))])
