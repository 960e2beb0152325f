"""PROOF-QW3-MOE-GPU-OUTPUT-SHAPE: the shapes of logits and stages follow from the config, for any."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwen3moe
from tests.claims import checks
from tests.devices import others, prompt


@st.composite
def configs(draw):
    experts = draw(st.integers(1, 12))
    kv_heads = draw(st.integers(1, 3))
    return {
        "types": draw(st.sampled_from(["F32", "BF16", "Q8_0", "Q4_0"])),
        "layers": draw(st.integers(1, 3)),
        "hidden": 32 * draw(st.integers(1, 9)),
        "heads": kv_heads * draw(st.integers(1, 3)),
        "kv_heads": kv_heads,
        "head_dim": draw(st.sampled_from([64, 128])),
        "experts": experts,
        "experts_used": draw(st.integers(1, min(experts, 10))),
        "ff": 32 * draw(st.integers(1, 9)),
        "vocab": draw(st.integers(300, 400)),
        "tied": draw(st.booleans()),
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs(), tokens=st.integers(1, 20), batch=st.integers(1, 8))
def test_shapes_of_any_config(tmp_path_factory, config, tokens, batch):
    path = qwen3moe.synth(tmp_path_factory.mktemp("drawn") / "m.gguf", **config)
    for device in ["cpu", *others()]:
        with qwen3moe.Model.from_gguf(path, device, batch=batch) as model:
            assert model.forward(prompt(tokens)).shape == (config["vocab"],)
            assert model.forward(prompt(tokens), "all").shape == (tokens, config["vocab"])
            found = {key: values.shape for key, values in model.trace(prompt(tokens)).items()}
            assert found == checks.shapes(model.config, tokens)
