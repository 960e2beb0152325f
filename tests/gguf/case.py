"""A malformed file and what its refusal must say."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes | dict[str, bytes]  # one file, or several by name, of which the first is opened
    pattern: str  # a regular expression that the message must match
    level: str = "container"  # "model": the container is sound, the model in it is not
    length: int = 0  # of the file, where it is longer than its data: the rest is a hole that takes no room

    def write(self, folder: Path) -> Path:
        """Writes the files into a folder of their own; returns the one to open."""
        folder = folder / self.name
        folder.mkdir()
        files = self.data if isinstance(self.data, dict) else {"model.gguf": self.data}
        for name, data in files.items():
            (folder / name).write_bytes(data)
            os.truncate(folder / name, max(len(data), self.length))
        return folder / next(iter(files))
