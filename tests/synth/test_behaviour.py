"""A synthetic model in an independent engine: it loads, and it behaves as a trained one would."""

import pytest

from qwen3moe.synth import synth

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SHAPE = dict(layers=6, experts=16, experts_used=4, ff=256, vocab=1024)
TOKENS = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    synth(folder / "m.gguf", **SHAPE)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Logits, router logits and residual streams of random tokens."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="m.gguf", moe_intermediate_size=SHAPE["ff"], dtype=torch.float32
    )
    routers, streams = [], []
    for layer in model.model.layers:
        layer.mlp.gate.register_forward_pre_hook(
            lambda gate, inputs: routers.append(inputs[0].reshape(TOKENS, -1) @ gate.weight.T)
        )
        layer.register_forward_hook(
            lambda _, inputs, output: streams.append(output[0] if isinstance(output, tuple) else output)
        )
    tokens = torch.randint(0, 1000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(tokens).logits[0]
    return logits, torch.stack(routers), torch.stack(streams)


def test_the_tokenizer_loads(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file="m.gguf")
    text = "def f(x):\n    return self.value<|im_end|>"
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
    assert ids[-1] == tokenizer.eos_token_id
    assert len(ids) < 20


def test_logits_spread_by_a_few_units_and_depend_on_the_token(run):
    logits = run[0]
    assert torch.isfinite(logits).all()
    assert 2 < logits.std() < 5
    assert logits.argmax(-1).unique().numel() > TOKENS // 2


def test_the_residual_stream_grows_slowly(run):
    deviations = run[2].std(dim=(1, 2, 3))
    assert 0.3 < deviations[0] < 3
    assert deviations[-1] < 10 * deviations[0]


def test_routers_are_decisive_and_use_all_experts(run):
    for router in run[1]:
        used = SHAPE["experts_used"]
        best = router.topk(used + 1).values
        assert (best[:, used - 1] - best[:, used]).min() > 1, "the last chosen and the first left out"
        assert router.topk(used).indices.unique().numel() == SHAPE["experts"]
