"""HuggingFace's model on the same GPU, in float16, with the weights of the same file: cosine of every prompt.

python tests/gpu/hf.py [--layers 48] [--prompts 4] [--length 64] [--out figures.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3MoeForCausalLM

sys.path.insert(0, str(Path(__file__).parents[2]))

import qwen3moe
from qwen3moe import _core
from tests.claims.checks import LEAST_COSINE
from tests.devices import prompt
from tests.gpu.dequantise import dequantise
from tests.gpu.models import full_shape
from tests.reference import hf_names


def load(path: str, config: dict[str, Any], device: str, dtype: torch.dtype) -> Qwen3MoeForCausalLM:
    """The model built from our reading of the config, every parameter filled from the file's own bytes."""
    file = _core.GGUFFile(path)
    types = {tensor["name"]: tensor for tensor in file.tensors}

    def weight(name: str) -> torch.Tensor:
        data = torch.from_numpy(np.array(file.tensor_data(name))).to(device)
        return dequantise(types[name]["type"], data, dtype).reshape(*reversed(types[name]["shape"]))

    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = Qwen3MoeForCausalLM(hf_names.config({**config, "used": config["experts_used"]}))
    torch.set_default_dtype(torch.float32)
    missing = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in hf_names.parameters(
            weight, lambda gate, up: torch.cat([gate, up], 1), config["layers"], "output.weight"
        ):
            missing.pop(name).copy_(value)
    assert not missing, f"not filled: {sorted(missing)[:5]}"
    return model.eval()


def closeness(path: Path, device: str, prompts: int = 4, length: int = 64) -> list[dict[str, float]]:
    """Of every prompt: the least cosine of a position, that of the last, and where the largest logit is the same."""
    with qwen3moe.Model.from_gguf(path, device) as model:
        config = model.config
        tokens = [prompt(length, seed, config["vocab"]) for seed in range(prompts)]
        ours = [model.forward(each, "all").astype(np.float64) for each in tokens]
    start = time.perf_counter()
    hf = load(str(path), config, "cuda:0" if torch.cuda.is_available() else "cpu", torch.float16)
    print(f"HuggingFace's model is filled after {time.perf_counter() - start:.0f} s")
    figures = []
    for each, a in zip(tokens, ours, strict=True):
        with torch.no_grad():
            ids = torch.from_numpy(each.astype(np.int64))[None].to(hf.device)
            theirs = hf(ids, use_cache=False).logits[0].double().cpu().numpy()
        cosine = (a * theirs).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(theirs, axis=1)
        agreement = float((a.argmax(1) == theirs.argmax(1)).mean())
        figures.append(
            {"cosine_min": float(cosine.min()), "cosine_last": float(cosine[-1]), "argmax_agreement": agreement}
        )
        print(figures[-1])
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="ours; HuggingFace's is always the first CUDA device")
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--preset", default="qwen3-coder-30b-a3b")
    parser.add_argument("--folder", type=Path, help="where the model is kept; a temporary one by default")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = full_shape(options.folder or Path(temporary), options.layers, options.preset)
        figures = closeness(path, options.device, options.prompts, options.length)
    if options.out:
        options.out.write_text(json.dumps({"layers": options.layers, "prompts": figures}, indent=1))
    good = all(entry["cosine_min"] >= LEAST_COSINE for entry in figures)
    print(f"cosine >= {LEAST_COSINE} at every position of every prompt:", "yes" if good else "NO")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
