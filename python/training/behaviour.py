"""What a trained model is like inside: how surely its routers choose, and how uneven its activations are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3MoeForCausalLM


def spread(x: Tensor) -> dict[str, float]:
    """Kurtosis (3 for a normal distribution) and the largest value over the root mean square, of all values."""
    x = x.detach().double().flatten()
    centred = x - x.mean()
    rms = x.square().mean().sqrt()
    return {
        "kurtosis": float(centred.pow(4).mean() / centred.square().mean().square()),
        "largest_over_rms": float(x.abs().max() / rms),
    }


def decisions(logits: Tensor, used: int) -> dict[str, Any]:
    """Of a router's logits [tokens, experts]."""
    probabilities = logits.detach().double().softmax(-1)
    ordered = probabilities.sort(-1, descending=True).values
    entropy = -(probabilities * probabilities.clamp_min(1e-30).log()).sum(-1)
    margin = ordered[:, used - 1] - ordered[:, used]
    chosen = probabilities.topk(used, -1).indices
    load = torch.bincount(chosen.flatten(), minlength=logits.shape[-1]).double() / chosen.shape[0]
    return {
        "entropy_bits": float(entropy.mean() / torch.log(torch.tensor(2.0))),
        "largest_probability": float(ordered[:, 0].mean()),
        "probability_of_chosen": float(ordered[:, :used].sum(-1).mean()),
        "margin_median": float(margin.median()),
        "margin_above_0.01": float((margin > 0.01).double().mean()),
        "load_least": float(load.min()),
        "load_most": float(load.max()),
    }


@torch.no_grad()
def behaviour(model: Qwen3MoeForCausalLM, tokens: Tensor) -> list[dict[str, Any]]:
    """Per layer, over tokens [sequences, length]. The largest spread of one channel shows outlier channels."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = []
    for i, layer in enumerate(model.model.layers):
        hooks += [
            layer.input_layernorm.register_forward_hook(keep(f"{i}.attention_input")),
            layer.post_attention_layernorm.register_forward_hook(keep(f"{i}.experts_input")),
            layer.register_forward_hook(keep(f"{i}.residual")),
        ]
    out = model.model(tokens, output_router_logits=True, use_cache=False)
    for hook in hooks:
        hook.remove()

    report = []
    for i, logits in enumerate(out.router_logits):
        layer: dict[str, Any] = {"router": decisions(logits, model.config.num_experts_per_tok)}
        for name in ("attention_input", "experts_input", "residual"):
            values = seen[f"{i}.{name}"].float().flatten(0, -2)
            sizes = values.square().mean(0).sqrt()
            layer[name] = spread(values) | {"largest_channel_over_median": float(sizes.max() / sizes.median())}
        report.append(layer)
    return report
