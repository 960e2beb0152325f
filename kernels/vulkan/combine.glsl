// The experts' outputs, weighted and summed in rank order, then added to the residual.
layout(binding = 0) readonly buffer ExpertOut { float expert_out[]; };  // [tokens][used][width]
layout(binding = 1) readonly buffer Weights { float weights[]; };       // [tokens][used]
layout(binding = 2) writeonly buffer MoeOut { float moe_out[]; };
layout(binding = 3) coherent buffer Residual { float residual[]; };

void combine(CombineParams p, uint token, uint column) {
    uint slot = token * p.used;
    float sum = qm_mul(weights[slot], expert_out[slot * p.width + column]);
    for (uint r = 1u; r < p.used; r++)
        sum = qm_mul_add(weights[slot + r], expert_out[(slot + r) * p.width + column], sum);
    uint at = token * p.width + column;
    moe_out[at] = sum;
    residual[at] = qm_add(residual[at], sum);
}
