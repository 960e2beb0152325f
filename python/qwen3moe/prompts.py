"""Token ids for runs that need some and mean nothing by them: made by arithmetic, the same everywhere and always."""

from __future__ import annotations


def plain_tokens(count: int, vocab: int, seed: int = 0) -> list[int]:
    """`count` ids spread over the vocabulary."""
    state, ids = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        ids.append((state >> 8) % vocab)
    return ids
