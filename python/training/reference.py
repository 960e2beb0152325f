"""Writes the reference that the tests compare with: logits of the trained checkpoint by HuggingFace in float16.

    python3 python/training/reference.py CHECKPOINT tests/reference/tiny.npz

For prompt i of the file: `text.i`, `tokens.i` int32 [n] and `logits.i` float16 [n, vocab]. `weights.NAME` are rows from
all over some matrices, float16, as trained matrices to try quantisers on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Qwen3MoeForCausalLM

PROMPTS = (
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n",
    '''class Queue:
    """First in, first out."""

    def __init__(self, maxsize=0):
        self.maxsize = maxsize
        self._items = []

    def put(self, item):
''',
    "import os\nimport sys\n\nfrom collections import namedtuple\n\n__all__ = ['open', 'close']\n\ntry:\n",
    """    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path!r}") from error
""",
    "for name, value in sorted(options.items(), key=lambda item: item[1]):\n    print('%s = %r' % (name, value))\n",
    '''def is_prime(number):
    """Return True if the number is prime."""
    if number < 2:
        return False
    for i in range(2, int(number ** 0.5) + 1):
''',
    "# Copyright (C) 2001-2010 Python Software Foundation\n# Author: Barry Warsaw\n# Contact: email-sig@python.org\n",
    "    self.assertEqual(result, [x ** 2 for x in range(10) if x % 2])\n    self.assertRaises(TypeError, f, None)\n",
    "async def fetch(reader, writer, *, timeout=None):\n    await writer.drain()\n    line = await reader.readline()\n",
    "<|im_start|>user\nWrite the function add: Return a + b.<|im_end|>\n<|im_start|>assistant\ndef add(a, b):\n",
)

ROWS = 64
MATRICES = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.self_attn.v_proj.weight",
    "model.layers.2.mlp.experts.gate_up_proj",
    "model.layers.3.mlp.experts.down_proj",
    "lm_head.weight",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.checkpoint / "tokenizer.json"))
    model = Qwen3MoeForCausalLM.from_pretrained(
        args.checkpoint, dtype=torch.float16, attn_implementation="eager", experts_implementation="eager"
    ).eval()

    arrays: dict[str, np.ndarray] = {}
    for i, text in enumerate(PROMPTS):
        tokens = tokenizer.encode(text).ids[:64]
        with torch.no_grad():
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
        if len(tokens) < 16 or logits.dtype != np.float16 or not np.isfinite(logits).all():
            raise SystemExit(f"prompt {i}: {len(tokens)} tokens, {logits.dtype}")
        arrays |= {f"text.{i}": np.array(text), f"tokens.{i}": np.array(tokens, np.int32), f"logits.{i}": logits}
        print(f"prompt {i}: {len(tokens)} tokens")

    state = model.state_dict()
    for name in MATRICES:
        matrix = state[name].reshape(-1, state[name].shape[-1])
        step = len(matrix) // ROWS
        arrays[f"weights.{name}"] = matrix[: step * ROWS : step].numpy()
    np.savez_compressed(args.out, **arrays)
    print(f"wrote {args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
