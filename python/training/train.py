"""Trains the bundled model: a small Qwen3-MoE on the source of Python's standard library.

    python3 python/training/train.py --out FOLDER --minutes 8 [--source Lib]

It needs PyTorch, transformers 5, tokenizers and safetensors, and one GPU of the size of an H200; with --smoke it goes
through all of its steps on a CPU in a minute. FOLDER gets eight files: a HuggingFace checkpoint in float16, in shards
of less than 16 MB, its tokenizer, and training.json with losses, perplexity on files that were not trained on, and what
routers and activations are like.

The text is small, so what a longer training gains it may lose again by learning by heart. Several trainings share the
time, each twice as long as the one before; the validation files choose one, the test files measure it. Systems leave
the library's own tests out of what they install: `Lib` of CPython's source has three times the text.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from behaviour import behaviour
from corpus import END_OF_TEXT, MESSAGE_END, MESSAGE_START, VOCAB, Corpus, Documents, tokenizer_config, train_tokenizer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

SHARD_BYTES = 15_000_000
LEARNING_RATE, WARM_UP = 1.5e-3, 200
DECAY, DROPOUT = 0.3, 0.1  # strong, because every file is read many times
OUTLIER = 6.0
PROMPTS = (
    "def fibonacci(n):\n",
    "def factorial(n):\n",
    "class Stack:\n",
    "import os\n\ndef read_lines(path):\n",
    "def is_prime(n):\n",
    f"{MESSAGE_START}user\nWrite the function add: Return the sum of a and b.{MESSAGE_END}\n{MESSAGE_START}assistant\n",
)


def new_model(special: dict[str, int], args: argparse.Namespace, experts: str) -> Qwen3MoeForCausalLM:
    """Large models have a few channels of very large activations, and small ones grow none by themselves: a few weights
    of each norm before a matrix begin large.
    """
    config = Qwen3MoeConfig(
        vocab_size=VOCAB,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=args.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        moe_intermediate_size=256,
        num_experts=16,
        num_experts_per_tok=4,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        router_aux_loss_coef=0.002,
        initializer_range=0.04,
        rms_norm_eps=1e-6,
        max_position_embeddings=args.context,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        bos_token_id=special[END_OF_TEXT],
        eos_token_id=special[MESSAGE_END],
        pad_token_id=None,
    )
    config._attn_implementation = "sdpa"
    config._experts_implementation = experts
    model = Qwen3MoeForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight[torch.randperm(config.hidden_size)[: args.outliers]] = OUTLIER
    return model


class Trainer:
    """One training of a given number of steps."""

    def __init__(self, model: Qwen3MoeForCausalLM, documents: Documents, args: argparse.Namespace) -> None:
        self.model, self.documents, self.shape = model, documents, (args.batch, args.context + 1)
        self.device = next(model.parameters()).device
        self.cuda = self.device.type == "cuda"
        self.random = np.random.default_rng(args.seed)
        self.unread = np.empty(0, np.int64)
        self.tokens = 0

        matrices = [p for p in model.parameters() if p.dim() > 1]
        gains = [p for p in model.parameters() if p.dim() == 1]
        groups = [
            {"params": matrices, "weight_decay": DECAY, "rate": LEARNING_RATE},
            {"params": gains, "weight_decay": 0.0, "rate": LEARNING_RATE * args.gain_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95), fused=self.cuda)
        for layer in model.model.layers:  # routers choose in float32
            layer.mlp.gate.forward = torch.autocast(self.device.type, enabled=False)(layer.mlp.gate.forward)
        self.dropping = [
            module.register_forward_hook(drop)
            for module in [model.model.embed_tokens]
            + [part for layer in model.model.layers for part in (layer.self_attn, layer.mlp)]
        ]

    def next_batch(self) -> Tensor:
        need = math.prod(self.shape)
        while len(self.unread) < need:
            self.unread = np.concatenate([self.unread, self.documents.one_pass(self.random)])
        taken, self.unread = self.unread[:need], self.unread[need:]
        self.tokens += need
        batch = torch.from_numpy(taken.reshape(self.shape))
        return batch.pin_memory().to(self.device, non_blocking=True) if self.cuda else batch

    def losses(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the next token, and the routers' loss, each layer's by itself."""
        config, inner = self.model.config, self.model.model
        inputs = {"output_router_logits": True, "use_cache": False}
        # Products of experts are fast in bfloat16 alone, and autocast does not reach them.
        experts = {name: p.bfloat16() for name, p in inner.named_parameters() if self.cuda and ".experts." in name}
        with torch.autocast("cuda", torch.bfloat16) if self.cuda else nullcontext():
            out = torch.func.functional_call(inner, experts, (batch[:, :-1],), inputs)
            logits = self.model.lm_head(out.last_hidden_state)
        balance = [
            load_balancing_loss_func((layer,), config.num_experts, config.num_experts_per_tok)
            for layer in out.router_logits
        ]
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        return loss, torch.stack(balance).mean()

    def step(self, factor: float) -> tuple[Tensor, Tensor]:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        loss, balance = self.losses(self.next_batch())
        (loss + self.model.config.router_aux_loss_coef * balance).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), balance.detach()

    def run(self, steps: int, held_out: Tensor, deadline: float) -> dict[str, Any]:
        """The schedule goes by steps, or by the clock where that is further: it comes to its end in any case."""
        curve: list[dict[str, float]] = []
        start, step, progress = time.monotonic(), 0, 0.0
        while progress < 1:
            warm = min(1.0, (step + 1) / min(WARM_UP, max(1, steps // 10)))
            loss, balance = self.step(warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))))
            step += 1
            progress = max(step / steps, (time.monotonic() - start) / (deadline - start))
            if (step - 1) % max(1, steps // 40) == 0 or progress >= 1:
                curve.append(
                    {
                        "step": step,
                        "passes": self.tokens / self.documents.pass_tokens,
                        "train_loss": float(loss),
                        "balance_loss": float(balance),
                        "validation_loss": held_out_loss(self.model, held_out),
                    }
                )
                print(" ".join(f"{name} {value:.4g}" for name, value in curve[-1].items()), flush=True)
        for hook in self.dropping:
            hook.remove()
        return {"steps": step, "tokens": self.tokens, "curve": curve}


def drop(module: nn.Module, _: Any, output: Any) -> Any:
    if isinstance(output, tuple):
        return (F.dropout(output[0], DROPOUT, module.training), *output[1:])
    return F.dropout(output, DROPOUT, module.training)


def windows(tokens: np.ndarray, context: int) -> Tensor:
    """[n, context + 1]: each window's last token is the next one's first, and the rest at the end is left out."""
    starts = range(0, len(tokens) - context, context)
    return torch.from_numpy(np.stack([tokens[i : i + context + 1] for i in starts]))


@torch.no_grad()
def held_out_loss(model: Qwen3MoeForCausalLM, held_out: Tensor) -> float:
    """Mean negative log-likelihood per token, in float32."""
    model.eval()
    quick, model.config._experts_implementation = model.config._experts_implementation, "eager"
    total = 0.0
    for batch in held_out.split(32):
        logits = model(batch[:, :-1], use_cache=False).logits.float()
        total += float(F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum"))
    model.config._experts_implementation = quick
    return total / held_out[:, 1:].numel()


@torch.no_grad()
def complete(model: Qwen3MoeForCausalLM, tokenizer: Any, prompt: str, length: int) -> str:
    """Greedily."""
    model.eval()
    tokens = tokenizer.encode(prompt).ids
    ends = {tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(MESSAGE_END)}
    for _ in range(length):
        logits = model(torch.tensor([tokens], device=model.device), use_cache=False).logits
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] in ends:
            break
    return tokenizer.decode(tokens, skip_special_tokens=False)


def steps_per_second(trainer: Trainer, steps: int) -> float:
    """0 where it does not work at all."""
    try:
        for i in range(steps + 5):
            if i == 5:
                start = time.monotonic()
            float(trainer.step(1e-3)[0])
    except RuntimeError as error:
        print(error)
        return 0.0
    return steps / (time.monotonic() - start)


def save(model: Qwen3MoeForCausalLM, tokenizer: Any, folder: Path) -> None:
    """As transformers would, but in shards by plain size and without what nobody reads."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in model.state_dict().items():
        half = tensor.detach().to("cpu", torch.float16).contiguous()
        if not half.isfinite().all():
            raise SystemExit(f"{name} does not fit float16")
        if shards[-1] and sum(t.nbytes for t in shards[-1].values()) + half.nbytes > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = half
    placed = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, {"format": "pt"})
        placed |= dict.fromkeys(shard, file)
    total = sum(t.nbytes for shard in shards for t in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    model.config.dtype = torch.float16
    config = model.config.to_dict() | {"architectures": ["Qwen3MoeForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=str))
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = tokenizer_config(tokenizer, model.config.max_position_embeddings)
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8, help="of the whole, by the clock")
    parser.add_argument("--most-passes", type=float, default=8, help="over the text, of the shortest training")
    parser.add_argument("--batch", type=int, default=12, help="sequences in a step")
    parser.add_argument("--context", type=int, default=1024, help="tokens in a sequence")
    parser.add_argument("--schedules", type=int, default=2, help="trainings, each twice as long as the one before")
    parser.add_argument("--outliers", type=int, default=2, help="weights of each norm that begin large")
    parser.add_argument("--gain-rate", type=float, default=1.0, help="of norms' learning rate over that of matrices")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", type=Path, help="folder of Python files in place of the standard library")
    parser.add_argument("--smoke", action="store_true", help="a few steps on few files, on the CPU")
    args = parser.parse_args()
    start = time.monotonic()

    if args.smoke:
        args.context, args.batch, args.layers, args.minutes = 64, 2, 2, 10.0
    device = torch.device("cpu" if args.smoke or not torch.cuda.is_available() else "cuda")

    corpus = Corpus.load(args.source, 150 if args.smoke else None)
    tokenizer = train_tokenizer(list(corpus.train.values()))
    documents = Documents.of(corpus.train, tokenizer)
    held_out = [Documents.of(part, tokenizer) for part in (corpus.validation, corpus.test)]
    most = 4 if args.smoke else None
    validation, test = (windows(part.joined(part.files), args.context)[:most].to(device) for part in held_out)
    passed, step_tokens = documents.pass_tokens, args.batch * args.context
    print(f"{len(corpus.train)} files, {passed} tokens a pass; {time.monotonic() - start:.0f} s so far", flush=True)

    special = {text: tokenizer.token_to_id(text) for text in (END_OF_TEXT, MESSAGE_END)}

    def fresh(experts: str) -> Trainer:
        torch.manual_seed(args.seed)
        return Trainer(new_model(special, args, experts).to(device), documents, args)

    speeds = {experts: steps_per_second(fresh(experts), 2 if args.smoke else 40) for experts in ("grouped_mm", "eager")}
    experts = max(speeds, key=speeds.__getitem__)
    speed = speeds[experts]
    if speed == 0:
        raise SystemExit("no way of computing experts works here")
    last = 40  # seconds for what comes after training
    deadline = start + 60 * args.minutes - last
    # An eighth of the time is for validation, and for what the measurement did not see.
    affordable = (deadline - time.monotonic()) * 7 / 8 * speed / (2**args.schedules - 1)
    unit = 2 if args.smoke else int(min(affordable, args.most_passes * passed / step_tokens))
    print(f"{speeds} steps/s; {speed * step_tokens:.0f} tokens/s; the shortest training has {unit} steps", flush=True)

    runs: list[dict[str, Any]] = []
    best: tuple[float, int, Any] = (math.inf, 0, None)
    for i in range(args.schedules):
        # Each gets the part of what time is left that it and the longer ones share.
        now, share = time.monotonic(), 2**i / sum(2**j for j in range(i, args.schedules))
        trainer = fresh(experts)
        runs.append(trainer.run(unit * 2**i, validation, now + (deadline - now) * share))
        best = min(best, (runs[-1]["curve"][-1]["validation_loss"], i, trainer.model), key=lambda tried: tried[0])
    _, chosen, model = best

    for parameter in model.parameters():  # what is saved is what is measured
        parameter.data = parameter.data.half().float()
    model.config._experts_implementation = "eager"
    save(model, tokenizer, args.out)
    test_loss = held_out_loss(model, test)
    characters = sum(map(len, corpus.test.values()))
    tokens = sum(map(len, held_out[1].files))
    report = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "arguments": {name: str(value) for name, value in vars(args).items() if name != "out"},
        "experts_implementation": experts,
        "steps_per_second": speed,
        "tokens_per_step": step_tokens,
        "tokens_per_pass": passed,
        "hyperparameters": {
            "learning_rate": LEARNING_RATE,
            "warm_up": WARM_UP,
            "weight_decay": DECAY,
            "dropout": DROPOUT,
            "router_aux_loss_coef": model.config.router_aux_loss_coef,
        },
        "corpus": corpus.describe(),
        "runs": runs,
        "chosen": chosen,
        "held_out": {
            "what": f"test files, joined, in windows of {args.context} tokens; float16 weights, float32 arithmetic",
            "validation_perplexity": math.exp(held_out_loss(model, validation)),
            "test_perplexity": math.exp(test_loss),
            "test_bits_per_character": test_loss / math.log(2) * tokens / characters,
        },
        "layers": behaviour(model.eval(), test[:8, :-1]),
        "samples": [complete(model, tokenizer, prompt, 8 if args.smoke else 128) for prompt in PROMPTS],
        "seconds": time.monotonic() - start,
    }
    (args.out / "training.json").write_text(json.dumps(report, indent=1))
    for sample in report["samples"]:
        print("-" * 80, sample, sep="\n")
    print(json.dumps({key: report[key] for key in ("held_out", "layers", "parameters", "seconds")}, indent=1))


if __name__ == "__main__":
    main()
