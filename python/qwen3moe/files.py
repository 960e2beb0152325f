"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qwen3moe.errors import FileError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes the place of `path` once the block ends well."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, target)
    except OSError as error:
        raise FileError(error.errno, f"cannot write {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink()
