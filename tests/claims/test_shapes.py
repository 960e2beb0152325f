"""PROOF-QW3-MOE-GPU-OUTPUT-SHAPE: the shapes of logits and stages follow from the config, for any."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwen3moe
from tests.claims import checks
from tests.devices import SOFTWARE, others, prompt


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


def check(folder, config, tokens, batch, devices):
    path = qwen3moe.synth(folder / "m.gguf", **config)
    for device in devices:
        with qwen3moe.Model.from_gguf(path, device, batch=batch) as model:
            assert model.forward(prompt(tokens)).shape == (config["vocab"],)
            assert model.forward(prompt(tokens), "all").shape == (tokens, config["vocab"])
            found = {key: values.shape for key, values in model.trace(prompt(tokens)).items()}
            assert found == checks.shapes(model.config, tokens)


HEALTH = [HealthCheck.function_scoped_fixture]


@settings(max_examples=15, deadline=None, suppress_health_check=HEALTH)
@given(config=configs(), tokens=st.integers(1, 20), batch=st.integers(1, 8))
def test_shapes_of_any_config(tmp_path_factory, config, tokens, batch):
    fast = [device for device in ("cpu", *others()) if device not in SOFTWARE]
    check(tmp_path_factory.mktemp("drawn"), config, tokens, batch, fast)


# Every config has shaders of its own, which take a processor seconds to compile.
@settings(max_examples=3, deadline=None, suppress_health_check=HEALTH)
@given(config=configs(), tokens=st.integers(1, 20), batch=st.integers(1, 8))
def test_shapes_where_a_processor_plays_the_gpu(tmp_path_factory, config, tokens, batch):
    check(tmp_path_factory.mktemp("drawn"), config, tokens, batch, SOFTWARE)
