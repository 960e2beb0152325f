"""Progress of long work: a bar on stderr, a function of the caller's, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

ProgressFunction: TypeAlias = Callable[[int, int], object]
Progress: TypeAlias = bool | ProgressFunction


@contextmanager
def reporting(progress: Progress, what: str, unit: str) -> Iterator[ProgressFunction | None]:
    """Yields what to call with (done, total), or None where no one wants to know."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm  # here, because importing it costs time that most calls need not spend

    with tqdm(desc=what, unit=unit, unit_scale=True, leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done == total:
                bar.refresh()  # however quick it was

        yield report
