"""A malformed file and what its refusal must say."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes | dict[str, bytes]  # one file, or several by name, of which the first is opened
    pattern: str  # a regular expression that the message must match
    level: str = "container"  # "model": the container is sound, the model in it is not

    def write(self, folder: Path) -> Path:
        """Writes the files into a folder of their own; returns the one to open."""
        folder = folder / self.name
        folder.mkdir()
        files = self.data if isinstance(self.data, dict) else {"model.gguf": self.data}
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder / next(iter(files))
