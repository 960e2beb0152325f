"""Sound containers whose model is not: keys missing or of the wrong type, numbers and shapes that contradict."""

import math

from .build import ARRAY, BOOL, F32, F64, I32, STRING, U32, U64, Tensor, entry, gguf
from .case import Case

VOCAB, WIDTH, HEADS, KV_HEADS, HEAD_DIM, EXPERTS, USED, FF, LAYERS = 32, 64, 2, 1, 64, 4, 2, 32, 2

KEYS = {
    "general.architecture": (STRING, "qwen3moe"),
    "qwen3moe.block_count": (U32, LAYERS),
    "qwen3moe.context_length": (U32, 128),
    "qwen3moe.embedding_length": (U32, WIDTH),
    "qwen3moe.attention.head_count": (U32, HEADS),
    "qwen3moe.attention.head_count_kv": (U32, KV_HEADS),
    "qwen3moe.attention.key_length": (U32, HEAD_DIM),
    "qwen3moe.attention.value_length": (U32, HEAD_DIM),
    "qwen3moe.attention.layer_norm_rms_epsilon": (F32, 1e-6),
    "qwen3moe.rope.freq_base": (F32, 1e6),
    "qwen3moe.expert_count": (U32, EXPERTS),
    "qwen3moe.expert_used_count": (U32, USED),
    "qwen3moe.expert_feed_forward_length": (U32, FF),
    "tokenizer.ggml.tokens": (ARRAY, (STRING, [f"t{i}" for i in range(VOCAB)])),
    "tokenizer.ggml.eos_token_id": (U32, 1),
}


def shapes():
    """Every tensor of the model: name -> shape, fastest dimension first."""
    found = {"token_embd": (WIDTH, VOCAB), "output_norm": (WIDTH,), "output": (WIDTH, VOCAB)}
    for i in range(LAYERS):
        found |= {
            f"blk.{i}.attn_norm": (WIDTH,),
            f"blk.{i}.attn_q": (WIDTH, HEADS * HEAD_DIM),
            f"blk.{i}.attn_k": (WIDTH, KV_HEADS * HEAD_DIM),
            f"blk.{i}.attn_v": (WIDTH, KV_HEADS * HEAD_DIM),
            f"blk.{i}.attn_q_norm": (HEAD_DIM,),
            f"blk.{i}.attn_k_norm": (HEAD_DIM,),
            f"blk.{i}.attn_output": (HEADS * HEAD_DIM, WIDTH),
            f"blk.{i}.ffn_norm": (WIDTH,),
            f"blk.{i}.ffn_gate_inp": (WIDTH, EXPERTS),
            f"blk.{i}.ffn_gate_exps": (WIDTH, FF, EXPERTS),
            f"blk.{i}.ffn_up_exps": (WIDTH, FF, EXPERTS),
            f"blk.{i}.ffn_down_exps": (FF, WIDTH, EXPERTS),
        }
    return {f"{name}.weight": shape for name, shape in found.items()}


def model(keys=None, tensors=None, types=None):
    """The model with some keys or tensors changed; None takes one away."""
    keys = {**KEYS, **(keys or {})}
    entries = [entry(key, *value) for key, value in keys.items() if value is not None]
    wanted = {**shapes(), **(tensors or {})}
    types = types or {}
    return gguf(entries, [Tensor(n, s, types.get(n, "F32")) for n, s in wanted.items() if s is not None])


def missing_keys():
    optional = {
        "qwen3moe.attention.head_count_kv",  # without it every head has its own K and V
        "qwen3moe.attention.key_length",
        "qwen3moe.attention.value_length",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.eos_token_id",
    }
    for key in KEYS.keys() - optional:
        yield Case(f"model_without_{key}", model({key: None}), rf'key "{key}": found nothing', "model")


def ill_typed_keys():
    for key, (kind, _) in KEYS.items():
        wrong = (STRING, "twelve") if kind != STRING else (U32, 12)
        yield Case(f"model_ill_typed_{key}", model({key: wrong}), rf'key "{key}": found', "model")
    for key in ("block_count", "expert_count", "embedding_length"):
        yield Case(
            f"model_float_{key}", model({f"qwen3moe.{key}": (F32, 2.0)}), rf'key "qwen3moe.{key}": found', "model"
        )
        yield Case(
            f"model_negative_{key}", model({f"qwen3moe.{key}": (I32, -2)}), rf'key "qwen3moe.{key}": found', "model"
        )
        yield Case(f"model_bool_{key}", model({f"qwen3moe.{key}": (BOOL, 1)}), rf'key "qwen3moe.{key}": found', "model")
    yield Case(
        "model_norm_flag_number", model({"qwen3moe.expert_weights_norm": (U32, 1)}), "expert_weights_norm", "model"
    )


def numbers():
    bounds = {
        "block_count": [0, 2**24 + 1, 2**32, 2**63],
        "context_length": [0, 2**40],
        "embedding_length": [0, 2**32 + WIDTH],
        "attention.head_count": [0, 2**32 + HEADS, 5000],
        "attention.head_count_kv": [0, 2**32 + KV_HEADS],
        "attention.key_length": [0, 32, 96, 256, 2**32 + 64],
        "attention.value_length": [0, 32, 128],
        "expert_count": [0, 2**32 + EXPERTS],
        "expert_used_count": [0, EXPERTS + 1, 2**32 + USED],
        "expert_feed_forward_length": [0, 2**32 + FF],
    }
    for name, values in bounds.items():
        for value in values:
            case = model({f"qwen3moe.{name}": (U64, value)})
            yield Case(f"model_{name}_{value}", case, rf'key "qwen3moe\.{name}": found {value}; expected', "model")
    for heads, kv in ((3, 2), (2, 3), (1, 2)):
        case = model({"qwen3moe.attention.head_count": (U32, heads), "qwen3moe.attention.head_count_kv": (U32, kv)})
        yield Case(f"model_heads_{heads}_kv_{kv}", case, rf'head_count_kv": found {kv}; expected a divisor', "model")
    for key in ("attention.layer_norm_rms_epsilon", "rope.freq_base"):
        for value in (math.nan, math.inf, -math.inf, 0.0, -1.0):
            for kind in (F32, F64):
                case = model({f"qwen3moe.{key}": (kind, value)})
                yield Case(f"model_{key}_{value}_{kind}", case, rf'key "qwen3moe\.{key}": found .*above 0', "model")
    eps, base = "attention.layer_norm_rms_epsilon", "rope.freq_base"
    for key, value in ((eps, 2.0), (eps, 1e-21), (base, 0.5), (base, 1e30)):
        case = model({f"qwen3moe.{key}": (F64, value)})
        yield Case(f"model_{key}_{value}", case, rf'key "qwen3moe\.{key}": found .*expected from 1', "model")


def sizes():
    """An embedding of more rows than any vocabulary: it has a third of a gigabit of data, all of it a hole."""
    rows = (1 << 24) + 1
    entries = [entry(key, *value) for key, value in KEYS.items()]
    head = gguf(entries, [Tensor("token_embd.weight", (1, rows), "F16", data=b"")])
    pattern = rf'tensor "token_embd\.weight": found {rows} rows; expected at most {1 << 24}'
    yield Case("model_rows", head, pattern, "model", -(-len(head) // 32) * 32 + 2 * rows)


def positions():
    scaled = model({"qwen3moe.rope.scaling.type": (STRING, "yarn")})
    yield Case("model_rope_scaling", scaled, 'scaling.type": found "yarn"; expected none', "model")
    partial = model({"qwen3moe.rope.dimension_count": (U32, HEAD_DIM // 2)})
    yield Case("model_partial_rope", partial, 'rope.dimension_count": found 32; expected 64', "model")


def vocabularies():
    for length in (0, VOCAB - 1, VOCAB + 1):
        tokens = (ARRAY, (STRING, [f"t{i}" for i in range(length)]))
        case = model({"tokenizer.ggml.tokens": tokens})
        yield Case(f"model_{length}_tokens", case, rf"found {length} tokens; expected {VOCAB}", "model")
    yield Case("model_vocab_size", model({"qwen3moe.vocab_size": (U32, 31)}), 'vocab_size": found 31', "model")
    for name in ("bos", "eos", "padding", "unknown", "eot", "fim_pre"):
        for value in (VOCAB, 2**32 - 1):
            case = model({f"tokenizer.ggml.{name}_token_id": (U32, value)})
            yield Case(f"model_{name}_{value}", case, rf'{name}_token_id": found {value}; expected a token', "model")


def architectures():
    for name in ("qwen3", "llama", "", "QWEN3MOE", "qwen3moe ", "qwen3moe\x00"):
        case = model({"general.architecture": (STRING, name)})
        yield Case(
            f"model_architecture_{name!r}", case, 'general.architecture": found .*; expected "qwen3moe"', "model"
        )


def tensors():
    for name, shape in shapes().items():
        if name != "output.weight":  # without it the embedding is the output head
            yield Case(
                f"model_without_{name}", model(tensors={name: None}), rf'tensor "{name}": found nothing', "model"
            )
        longer = (*shape[:-1], shape[-1] + 1)
        yield Case(
            f"model_longer_{name}", model(tensors={name: longer}), rf'tensor "{name}": found shape|tokens', "model"
        )
        if len(shape) > 1:
            turned = (shape[1], shape[0], *shape[2:])
            if turned != shape:
                pattern = rf'tensor "{name}": found shape|tokens'
                yield Case(f"model_turned_{name}", model(tensors={name: turned}), pattern, "model")
        else:
            half = model(types={name: "F16"})
            yield Case(f"model_half_{name}", half, rf'tensor "{name}": found type F16; expected F32', "model")
    for name in ("blk.0.attn_q.bias", "blk.2.attn_norm.weight", "blk.0.ffn_gate.weight", "rope_freqs.weight"):
        case = model(tensors={name: (WIDTH,)})
        yield Case(f"model_unused_{name}", case, rf'tensor "{name}": found a tensor that', "model")


def cases():
    for family in (missing_keys, ill_typed_keys, numbers, sizes, positions, vocabularies, architectures, tensors):
        yield from family()
