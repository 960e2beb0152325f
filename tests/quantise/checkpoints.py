"""Checkpoints as HuggingFace's libraries write them, small, in every layout that there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from qwen3moe.checkpoint.vocabulary import QWEN2_WORDS

SHAPE = dict(
    vocab_size=320,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    num_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=256,
    max_position_embeddings=512,
    rms_norm_eps=1e-6,
    norm_topk_prob=True,
    rope_parameters={"rope_type": "default", "rope_theta": 5e5},
    tie_word_embeddings=False,
    initializer_range=0.08,
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"


def model(dtype: torch.dtype = torch.float32, **shape: Any) -> Qwen3MoeForCausalLM:
    torch.manual_seed(11)
    made = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SHAPE | shape, attn_implementation="eager")).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 2)
            elif name.endswith("gate.weight"):
                parameter.normal_(std=0.2)
            parameter.copy_(parameter.to(dtype))  # what the file will hold, in float32 to compute with
    return made


def per_expert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A module for each expert, as checkpoints on the hub have it."""
    split = {}
    for name, tensor in state.items():
        prefix, _, kind = name.rpartition(".")
        if kind not in ("gate_up_proj", "down_proj") or not prefix.endswith("experts"):
            split[name] = tensor
            continue
        for expert, matrix in enumerate(tensor):
            if kind == "down_proj":
                split[f"{prefix}.{expert}.down_proj.weight"] = matrix.clone()
            else:
                gate, up = matrix.chunk(2)
                split[f"{prefix}.{expert}.gate_proj.weight"] = gate.clone()
                split[f"{prefix}.{expert}.up_proj.weight"] = up.clone()
    return split


def save(
    folder: Path,
    made: Qwen3MoeForCausalLM,
    *,
    dtype: torch.dtype = torch.float32,
    fused: bool = True,
    shards: int = 1,
    tokenizer: bool = True,
) -> Path:
    folder.mkdir(exist_ok=True)
    state = {name: tensor.to(dtype).contiguous() for name, tensor in made.state_dict().items()}
    if made.config.tie_word_embeddings:
        del state["lm_head.weight"]
    state = state if fused else per_expert(state)
    if shards == 1:
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    else:
        placed = {}
        for i in range(shards):
            file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
            shard = dict(list(state.items())[i::shards])
            save_file(shard, folder / file, {"format": "pt"})
            placed |= dict.fromkeys(shard, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    config = made.config.to_dict() | {"architectures": ["Qwen3MoeForCausalLM"], "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    if tokenizer:
        made_tokenizer = new_tokenizer()
        made_tokenizer.save(str(folder / "tokenizer.json"))
        names = {"eos_token": SPECIAL[2], "pad_token": {"content": SPECIAL[0]}, "bos_token": None}
        (folder / "tokenizer_config.json").write_text(json.dumps(names | {"chat_template": TEMPLATE}))
    return folder


def new_tokenizer() -> Tokenizer:
    """299 tokens, the last of them a word that was added and three special ones."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["for x in range(10): print(x)\n" * 9, "def return while import self " * 9], trainer)
    tokenizer.add_tokens([AddedToken("qwen3moe", special=False)])
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return tokenizer
