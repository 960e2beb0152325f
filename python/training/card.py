"""Writes the model card from what train.py reports.

    python3 python/training/card.py training.json tiny.gguf MODEL.md --source "Lib of CPython 3.11.7's source"

--source says what the folder of that name was, which train.py cannot know.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

WIDTH = 48  # of a bar


def loss_curve(run: dict[str, Any]) -> str:
    """A row every so often, with a bar for the validation loss."""
    points = run["curve"]
    most = max(point["validation_loss"] for point in points)
    rows = ["    step   passes   training  validation"]
    step = -(-len(points) // 20)
    for point in [*points[:-1:step], points[-1]]:
        bar = "#" * round(WIDTH * point["validation_loss"] / most)
        rows.append(
            f"  {point['step']:>6} {point['passes']:>8.1f} {point['train_loss']:>10.3f} "
            f"{point['validation_loss']:>11.3f}  {bar}"
        )
    return "\n".join(rows)


def layers(report: list[dict[str, Any]]) -> str:
    rows = [
        "| layer | entropy, bits of 4 | margin of the 4th | experts' load | kurtosis | largest channel |",
        "| ----: | -----------------: | ----------------: | ------------: | -------: | --------------: |",
    ]
    for i, layer in enumerate(report):
        router, attention, experts = layer["router"], layer["attention_input"], layer["experts_input"]
        rows.append(
            f"| {i} | {router['entropy_bits']:.2f} | {router['margin_median']:.4f} "
            f"| {router['load_least']:.2f} to {router['load_most']:.2f} "
            f"| {attention['kurtosis']:.1f}, {experts['kurtosis']:.1f} "
            f"| {attention['largest_channel_over_median']:.1f}, {experts['largest_channel_over_median']:.1f} |"
        )
    return "\n".join(rows)


def command(report: dict[str, Any]) -> str:
    """With all that the result depends on."""
    words = ["batch", "most_passes", "schedules", "outliers", "gain_rate", "seed", "minutes"]
    options = " ".join(f"--{word.replace('_', '-')} {report['arguments'][word]}" for word in words)
    source = "" if report["arguments"]["source"] == "None" else " --source Lib"
    return f"python3 python/training/train.py --out checkpoint{source} \\\n        {options}"


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().split("\n"))


def card(report: dict[str, Any], model: Path, source: str) -> str:
    run, held_out, corpus = report["runs"][report["chosen"]], report["held_out"], report["corpus"]
    others = ", ".join(
        f"{other['curve'][-1]['passes']:.0f} passes {other['curve'][-1]['validation_loss']:.3f}"
        for other in report["runs"]
    )
    return f"""# The bundled model

`tiny.gguf` is a Qwen3-MoE of {report["parameters"] / 1e6:.1f} million parameters that writes Python. It was trained for
this package, to try it with and to test it with. It knows nothing, and what it writes is not meant to be used.

{len(report["layers"])} layers of width 256, 4 heads of 64 (2 of keys and values), 16 experts of width 256 of which 4
are used, 4,096 tokens, a context of 1,024. Types Q4_K_M, {model.stat().st_size / 1e6:.1f} MB, SHA-256
`{hashlib.sha256(model.read_bytes()).hexdigest()}`.

## How it was made

From the source of Python's standard library ({source}), {corpus["files"]["train"]} files of
{corpus["characters"]["train"] / 1e6:.1f} million characters, as they are, and their documented functions again by
themselves and as answers in a chat. `python/training/train.py` trained it with HuggingFace's `Qwen3MoeForCausalLM`
in bfloat16 on one {report["device"]}, {run["steps"]} steps of {report["tokens_per_step"]} tokens with AdamW, in
{report["seconds"] / 60:.0f} minutes in all, and `python -m qwen3moe quantize` wrote the file:

    {command(report)}
    python -m qwen3moe quantize checkpoint python/qwen3moe/models/tiny.gguf
    python3 python/training/reference.py checkpoint tests/reference/tiny.npz
    python3 python/training/card.py checkpoint/training.json python/qwen3moe/models/tiny.gguf \\
        python/qwen3moe/models/MODEL.md --source "{source}"

The text is small, so a longer training may lose again what it gains by learning by heart. Of trainings of different
length the one with the least loss on the validation files was kept: {others}. A training ends by
the clock where that comes before its last step, so another machine makes a model like this one and not the same.

## Loss

{indented(loss_curve(run))}

On {corpus["files"]["test"]} files that were neither trained on nor chosen by (joined, in windows of 1,024 tokens,
before quantisation): perplexity {held_out["test_perplexity"]:.3f} per token, {held_out["test_bits_per_character"]:.3f}
bits per character. On the {corpus["files"]["validation"]} validation files: perplexity
{held_out["validation_perplexity"]:.3f}. The files were chosen by a hash of their path.

## Inside

Routers: the entropy of their probabilities, the median distance between the last expert that is used and the next,
and how much of the tokens the least and the most used expert gets (0.25 would be even). Activations before attention
and before the experts: kurtosis (3 for a normal distribution), and the largest channel's size over the median's.

{layers(report["layers"])}

Small models grow few outliers by themselves: {report["arguments"]["outliers"]} weights of each norm began at 6
where the others began at 1.

## What it writes

Greedily, before quantisation:

{indented(report["samples"][0])}

## Licence

The weights are under the Apache License 2.0, as the package. The text they were trained on is Python's standard
library, Copyright (c) 2001 Python Software Foundation and its contributors, under the PSF License Version 2; the model
may repeat pieces of it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", required=True, help="what the text was, in words")
    args = parser.parse_args()
    args.out.write_text(card(json.loads(args.training.read_text()), args.model, args.source))


if __name__ == "__main__":
    main()
