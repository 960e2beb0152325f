#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {

#define QM_TEXT_(x) #x
#define QM_TEXT(x) QM_TEXT_(x)

extern const Steps kSteps;
const Steps kSteps = {
    .name = QM_TEXT(QM_SIMD),
    .embed = embed,
    .norm = norm,
    .qkv = qkv,
    .rope_append = rope_append,
    .attention = attention,
    .output = output,
    .router = router,
    .topk = topk,
    .gate_up = gate_up,
    .swiglu = swiglu,
    .down = down,
    .combine = combine,
    .logits = logits,
    .choose = choose,
    .call = call,
    .selftest = selftest,
    .quantise = quantise,
    .dequantise = dequantise,
    .dot = dot,
};

}  // namespace qwen3moe::cpu::QM_SIMD
