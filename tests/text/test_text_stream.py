"""Streams: the same text as decoding at once, in whole characters, and up to a stop string."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3moe.text_stream import StopFilter
from qwen3moe.tokenizer import Tokenizer
from qwen3moe.vocabulary import BYTE_CHARACTERS
from tests.text.corpus import TEXTS
from tests.text.vocabularies import trained

TOKENIZER = Tokenizer(trained())


def streamed(ids, special=True):
    stream = TOKENIZER.stream(special=special)
    return [*(stream.push(i) for i in ids), stream.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_joined_it_is_the_text(text):
    ids = TOKENIZER.encode(text)
    pieces = streamed(ids)
    assert "".join(pieces) == TOKENIZER.decode(ids)
    assert "\ufffd" not in "".join(pieces)


def test_no_character_is_split():
    """One byte at a time, a character comes with its last byte."""
    for text in ("é中😀", "\U0001f469\u200d\U0001f467"):
        ids = [TOKENIZER.vocabulary.ids[c] for c in by_bytes(text)]
        assert [piece for piece in streamed(ids) if piece] == list(text)
        lengths = [len(character.encode()) for character in text]
        assert [len(piece) for piece in streamed(ids)[:-1]] == [int(i == n - 1) for n in lengths for i in range(n)]


def by_bytes(text):
    return [BYTE_CHARACTERS[byte] for byte in text.encode()]


def test_half_a_character_at_the_end():
    ids = [TOKENIZER.vocabulary.ids[c] for c in by_bytes("a中")[:-1]]
    assert streamed(ids) == ["a", "", "", "\ufffd"]


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 1504), max_size=30), special=st.booleans())
def test_any_tokens(ids, special):
    assert "".join(streamed(ids, special)) == TOKENIZER.decode(ids, special=special)


# ---- stop strings


def cut(text, stops):
    """By definition: up to the stop string that is whole first; of several, the longest."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


@settings(max_examples=1000, deadline=None)
@given(
    pieces=st.lists(st.text("abc", max_size=4), max_size=10),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_stops_at_the_first_stop_string_however_it_is_cut(pieces, stops):
    text, stopped = cut("".join(pieces), stops)
    stop_filter, given_out = StopFilter(stops), ""
    for i, piece in enumerate(pieces):
        given_out += stop_filter.push(piece)
        so_far = "".join(pieces[: i + 1])
        assert text.startswith(given_out), "nothing that must be taken back"
        if stop_filter.stopped:
            break
        held = so_far[len(given_out) :]
        assert not held or any(stop.startswith(held) for stop in stops), "nothing is held back without a reason"
    assert stop_filter.stopped == stopped
    assert given_out + stop_filter.finish() == text


def test_without_stop_strings_nothing_is_held():
    stop_filter = StopFilter([])
    assert [stop_filter.push("a"), stop_filter.push("bc"), stop_filter.finish()] == ["a", "bc", ""]
