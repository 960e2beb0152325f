"""Text of tokens that come one by one: only whole characters, and nothing of a stop string or after it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence


class TextStream:
    """Takes tokens and gives text as soon as it is certain. All that it gave, joined, is the text of all tokens."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that this token completes."""
        return self._decoder.decode(self._bytes_of(token))

    def finish(self) -> str:
        """What is left, where the last character is not whole: replacement characters."""
        return self._decoder.decode(b"", final=True)


class StopFilter:
    """Passes text on up to the first stop string; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that no stop string can begin in any more. Call no more once `stopped`."""
        self._held += text
        starts = [(self._held.find(stop), stop) for stop in self._stops]
        found = [(at + len(stop), at) for at, stop in starts if at >= 0]
        if found:  # the one that is whole first, as if the text had come by characters
            self.stopped = True
            return self._release(min(found)[1])
        return self._release(len(self._held) - self._pending())

    def finish(self) -> str:
        """What was held back for nothing."""
        return self._release(len(self._held))

    def _pending(self) -> int:
        """The most characters at the end that are the beginning of a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        lengths = range(min(longest, len(self._held)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(self._held[-n:]) for stop in self._stops)), 0)

    def _release(self, count: int) -> str:
        text, self._held = self._held[:count], "" if self.stopped else self._held[count:]
        return text
