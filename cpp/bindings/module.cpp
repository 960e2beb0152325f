#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
    using namespace qwen3moe::bindings;
    m.doc() = "The compiled part of qwen3moe; use the package, not this module.";
    bind_errors(m);
    bind_arithmetic(m);
    bind_gguf(m);
    bind_model(m);
    bind_sampler(m);
    bind_session(m);
    bind_synth(m);
    bind_quantise(m);
}
