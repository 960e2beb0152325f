"""A checkpoint's tokenizer as GGUF holds it: tokens by id with their types, merges, special ids, the chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3moe._core import GGUFWriter
from qwen3moe.checkpoint.safetensors import read_json, refuse
from qwen3moe.errors import FileError

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
# How Qwen's tokenizers cut text into words: what `tokenizer.ggml.pre` "qwen2" stands for.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = {"bos": "bos_token_id", "eos": "eos_token_id", "padding": "pad_token_id"}


@dataclass(frozen=True)
class Vocabulary:
    tokens: list[str]
    types: list[int]
    merges: list[str]
    special: dict[str, int]  # by GGUF's name: bos, eos, padding
    chat_template: str | None

    def write(self, writer: GGUFWriter) -> None:
        writer.add_text("tokenizer.ggml.model", "gpt2")
        writer.add_text("tokenizer.ggml.pre", "qwen2")
        writer.add_texts("tokenizer.ggml.tokens", self.tokens)
        writer.add_i32s("tokenizer.ggml.token_type", self.types)
        writer.add_texts("tokenizer.ggml.merges", self.merges)
        for name, token in self.special.items():
            writer.add_u32(f"tokenizer.ggml.{name}_token_id", token)
        writer.add_bool("tokenizer.ggml.add_bos_token", False)
        if self.chat_template is not None:
            writer.add_text("tokenizer.chat_template", self.chat_template)


def read_vocabulary(folder: Path, size: int) -> Vocabulary | None:
    """Of tokenizer.json, or of vocab.json and merges.txt; None where the folder has neither. Ids that no token has,
    up to the rows of the embedding, are unused.
    """
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.exists() else {}
    if (folder / "tokenizer.json").exists():
        path, (vocab, merges, added) = folder / "tokenizer.json", _from_tokenizer(folder / "tokenizer.json")
    elif (folder / "vocab.json").exists():
        path, vocab = folder / "vocab.json", read_json(folder / "vocab.json")
        merges, added = _read_merges(folder / "merges.txt"), {}
    else:
        return None
    added |= _added_in_config(config_path, config)

    tokens, types = [f"[PAD{i}]" for i in range(size)], [UNUSED] * size
    taken: set[int] = set()
    for text, token in vocab.items():
        _place(path, tokens, text, token)
        types[token] = NORMAL
        if token in taken:
            refuse(path, f"token {text[:40]!r}", f"the id {token} of another", "an id of its own")
        taken.add(token)
    for text, (token, special) in added.items():
        _place(path, tokens, text, token)
        types[token] = CONTROL if special else USER_DEFINED
    ids = {text: token for token, text in enumerate(tokens) if types[token] != UNUSED}
    template = _template(folder, config)
    for text in (*tokens, *merges, template or ""):
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            refuse(path, "text", repr(text[:40]), "text without lone surrogates")
    return Vocabulary(tokens, types, merges, _special(folder, config, ids, size), template)


def _place(path: Path, tokens: list[str], text: Any, token: Any) -> None:
    if type(token) is not int or not 0 <= token < len(tokens):
        refuse(path, f"token {str(text)[:40]!r}", f"id {str(token)[:40]}", f"an id below {len(tokens)}")
    tokens[token] = text


def _from_tokenizer(path: Path) -> tuple[dict[str, Any], list[str], dict[str, tuple[int, bool]]]:
    document = read_json(path)
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        refuse(path, "model", "another tokenizer", "byte-level BPE, as Qwen's")
    if QWEN2_WORDS not in _patterns(document.get("pre_tokenizer")):
        refuse(path, "pre_tokenizer", "another way of cutting words", "Qwen2's, which GGUF calls qwen2")
    added: dict[str, tuple[int, bool]] = {}
    items = document.get("added_tokens", [])
    for item in items if isinstance(items, list) else [items]:
        if not isinstance(item, dict) or not isinstance(item.get("content"), str):
            refuse(path, "added_tokens", str(item)[:80], "tokens with content and id")
        added[item["content"]] = item.get("id", -1), bool(item.get("special"))
    merges = model.get("merges")
    if not isinstance(merges, list):
        refuse(path, "merges", f"a {type(merges).__name__}", "a list")
    return model["vocab"], [_merge(path, merge) for merge in merges], added


def _patterns(pre_tokenizer: Any) -> list[Any]:
    """The regular expressions of a pre-tokenizer, and of those in it."""
    if not isinstance(pre_tokenizer, dict):
        return []
    parts = pre_tokenizer.get("pretokenizers")
    parts = parts if isinstance(parts, list) else [pre_tokenizer]
    patterns = [part.get("pattern") for part in parts if isinstance(part, dict)]
    return [pattern.get("Regex") for pattern in patterns if isinstance(pattern, dict)]


def _merge(path: Path, merge: Any) -> str:
    """Two tokens with a space between, however the file writes them."""
    text = " ".join(merge) if isinstance(merge, list) and all(isinstance(part, str) for part in merge) else merge
    if not isinstance(text, str) or len(text.split(" ")) != 2:
        refuse(path, "merges", repr(merge)[:80], "two tokens")
    return text


def _read_merges(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise FileError(error.errno, f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        refuse(path, "the file", str(error), "UTF-8")
    return [_merge(path, line.rstrip("\r")) for line in lines if line.strip() and not line.startswith("#version")]


def _added_in_config(path: Path, config: dict[str, Any]) -> dict[str, tuple[int, bool]]:
    found = {}
    decoder = config.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        refuse(path, "added_tokens_decoder", f"a {type(decoder).__name__}", "tokens by id")
    for token, item in decoder.items():
        if not token.isdecimal() or not isinstance(item, dict) or not isinstance(item.get("content"), str):
            refuse(path, "added_tokens_decoder", f"{token[:40]}: {str(item)[:80]}", "tokens with content, by id")
        found[item["content"]] = int(token), bool(item.get("special"))
    return found


def _special(folder: Path, config: dict[str, Any], ids: dict[str, int], size: int) -> dict[str, int]:
    """What tokenizer_config.json names comes before the numbers in config.json."""
    numbers = read_json(folder / "config.json")
    found = {}
    for name, key in SPECIAL.items():
        text = config.get(key.removesuffix("_id"))
        text = text.get("content") if isinstance(text, dict) else text
        number = numbers.get(key)
        number = number[0] if isinstance(number, list) and number else number
        token = ids.get(text) if isinstance(text, str) else number
        if type(token) is int and 0 <= token < size:
            found[name] = token
    return found


def _template(folder: Path, config: dict[str, Any]) -> str | None:
    """The one in the config, or the file beside it; of several the default."""
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    path = folder / "chat_template.jinja"
    if template is None and path.exists():
        try:
            template = path.read_text("utf-8")
        except OSError as error:
            raise FileError(error.errno, f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            refuse(path, "the file", str(error), "UTF-8")
    if template is not None and not isinstance(template, str):
        refuse(folder / "tokenizer_config.json", "chat_template", f"a {type(template).__name__}", "text")
    return template
