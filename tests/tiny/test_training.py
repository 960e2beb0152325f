"""The way from text to the bundled model, in small: train.py's smoke run, the conversion, and the card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import Qwen3MoeForCausalLM

import qwen3moe
from tests.forward.test_hf import cosine

TRAINING = Path(__file__).parents[2] / "python" / "training"


def script(name, *words):
    done = subprocess.run([sys.executable, TRAINING / name, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_from_text_to_a_model(tmp_path):
    checkpoint, file, card = tmp_path / "checkpoint", tmp_path / "m.gguf", tmp_path / "MODEL.md"
    script("train.py", "--smoke", "--out", checkpoint)
    report = json.loads((checkpoint / "training.json").read_text())
    curve = report["runs"][report["chosen"]]["curve"]
    assert curve[-1]["validation_loss"] < curve[0]["validation_loss"]

    qwen3moe.quantize(checkpoint, file, "Q8_0")
    script("card.py", checkpoint / "training.json", file, card, "--source", "a few files")
    assert "a few files" in card.read_text()
    with qwen3moe.Model.from_gguf(file, "cpu") as model:
        tokens = model.tokenize("def f(x):\n    return x\n")
        theirs = Qwen3MoeForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
        with torch.no_grad():
            expected = theirs(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
        assert cosine(model.forward(tokens, "all"), expected) > 0.999
        assert model.detokenize(tokens) == "def f(x):\n    return x\n"
