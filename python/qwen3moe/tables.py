"""Tables as text: aligned for a terminal, and Markdown as they stand."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(header, *cells, strict=True)]
    numeric = [all(_is_number(cell) for cell in column) for column in zip(*cells, strict=True)] or [False] * len(header)

    def line(row: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        return f"| {' | '.join(aligned)} |"

    rule = (f"{'-' * (width - 1)}:" if right else "-" * width for width, right in zip(widths, numeric, strict=True))
    return "\n".join([line(header), f"| {' | '.join(rule)} |", *map(line, cells)])


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True
