"""What was measured, as the README has it: written from the receipts, between two marks, and from nothing else."""

from __future__ import annotations

from typing import Any

from qwen3moe.contracts.evidence import hardware, is_fresh
from qwen3moe.contracts.load import Catalogue, Document
from qwen3moe.errors import ArgumentError
from qwen3moe.tables import table

BEGIN, END = "<!-- from the receipts -->", "<!-- until here -->"
NOTHING = "Nothing is recorded of the sources as they are."

_FORMS = {
    "prefill_tok_s": "{:,.0f} tok/s",
    "decode_tok_s": "{:,.1f} tok/s",
    "memory_share": "{:.1%} of the device's",
    "executions": "{:,} executions",
    "findings": "{} findings",
}


def measured(catalogue: Catalogue) -> str:
    """A table of every fresh receipt: where it was written, what passed there, what was measured."""
    rows = []
    for file, receipt in sorted(catalogue.receipts.items()):
        if is_fresh(receipt, catalogue):
            outcomes = list(receipt["falsifiers"].values())
            passed = f"{outcomes.count('passed')} of {len(outcomes)}"
            where = f"{receipt['device']['device']}, {hardware(receipt)}"
            rows.append([f"[{receipt['recorded'][:10]}]({file})", where, passed, figures(receipt)])
    return table(["receipt", "device", "passed", "measured"], rows) if rows else NOTHING


def figures(receipt: Document) -> str:
    """The figures that a reader may want, by their run: medians of what has samples."""
    runs = []
    for run, values in receipt["figures"].items():
        known = [form.format(_middle(values[key])) for key, form in _FORMS.items() if key in values]
        if known:
            runs.append(f"{run}: {', '.join(known)}")
    return "; ".join(runs)


def _middle(value: Any) -> Any:
    return value["median"] if isinstance(value, dict) else value


def replace_measured(text: str, catalogue: Catalogue) -> str:
    """A document with what stands between its marks written anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ArgumentError(f"the document lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{measured(catalogue)}\n{END}{after}"
