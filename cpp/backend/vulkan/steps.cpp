#include "backend/vulkan/steps.h"

#include <algorithm>

#include "backend/vulkan/dot.h"

namespace qwen3moe::vulkan {
void embed(Recording& work, const EmbedParams& p, const Weight& w, const Region& tokens, const Region& residual) {
    work.dispatch({Shader::embed, w.type}, {in(tokens), out(residual)}, EmbedConstants{p, w.address}, {p.tokens});
}

void norm(Recording& work, const NormParams& p, const Region& x, Address weight, const Activations& to) {
    work.dispatch({Shader::norm}, {in(x), out(to.values), out(to.digits), out(to.sums), out(to.scale)},
                  NormConstants{p, weight}, {p.tokens});
}

void qkv(Recording& work, const QkvParams& p, const Weight& q, const Weight& k, const Weight& v, const Buffers& b) {
    dot_rows(
        work,
        {.jobs = {{q, p.q_rows, b.q}, {k, p.kv_rows, b.k}, {v, p.kv_rows, b.v}}, .in = b.normed, .tokens = p.tokens},
        b.nothing);
}

void rope_append(Recording& work, const RopeAppendConstants& c, const Buffers& b, const Sequences& s) {
    work.dispatch({Shader::rope_append, 0, c.p.head_dim},
                  {out(b.q), out(b.k), in(b.v), in(s.places), in(s.caches), out(b.queries.digits), out(b.queries.scale),
                   out(kCaches)},
                  c, {c.p.tokens, c.p.heads + 2 * c.p.kv_heads});
}

std::uint32_t heads_together(const Style& style, const AttentionParams& p, std::uint64_t blocks) {
    const std::uint64_t enough = 4 * style.workgroups;
    const std::uint32_t sharing = p.heads / p.kv_heads;
    for (std::uint32_t heads = 4; heads > 1; heads--)
        if (sharing % heads == 0 && blocks * p.tokens * (p.heads / heads) >= enough) return heads;
    return 1;
}

void attention(Recording& work, const AttentionConstants& c, const Buffers& b, const Sequences& s,
               const KeyBlocks& blocks) {
    const std::uint32_t heads = heads_together(work.style(), c.p, c.count);
    work.dispatch({.shader = Shader::attention, .head_dim = c.p.head_dim, .heads = heads},
                  {in(b.queries.digits), in(b.queries.scale), in(s.places), in(s.caches), out(blocks.values),
                   out(blocks.maximum), out(blocks.total), in(kCaches)},
                  c, {c.count, c.p.heads / heads, c.p.tokens});
    work.dispatch({Shader::merge},
                  {in(s.places), in(blocks.values), in(blocks.maximum), in(blocks.total), out(b.attention.values),
                   out(b.attention.digits), out(b.attention.sums), out(b.attention.scale)},
                  c, {work.quantising(b.attention.blocks()), c.p.tokens});
}

void output(Recording& work, const OutputParams& p, const Weight& w, const Buffers& b) {
    dot_rows(work, {.jobs = {{w, p.width, b.residual}}, .in = b.attention, .tokens = p.tokens, .add = true}, b.nothing);
}

void router(Recording& work, const RouterParams& p, const Weight& w, const Buffers& b) {
    dot_rows(work, {.jobs = {{w, p.experts, b.router_logits}}, .in = b.normed, .tokens = p.tokens}, b.nothing);
}

void topk(Recording& work, const TopkParams& p, const Buffers& b) {
    work.dispatch({Shader::topk}, {in(b.router_logits), out(b.probabilities), out(b.expert_ids), out(b.expert_weights)},
                  p, {p.tokens});
    if (takes_tiles(p.tokens))
        work.dispatch({Shader::group},
                      {in(b.expert_ids), out(b.sorted.cursor), out(b.sorted.order), out(b.sorted.tiles)},
                      GroupParams{p.tokens * p.used, p.experts}, {});
}

void gate_up(Recording& work, const GateUpParams& p, const Weight& gate, const Weight& up, const Buffers& b) {
    dot_rows(work,
             {.jobs = {{gate, p.ff, b.gate}, {up, p.ff, b.up}},
              .in = b.normed,
              .tokens = p.tokens,
              .used = p.used,
              .slots_per_row = p.used,
              .experts = &b,
              .expert_count = p.experts},
             b.nothing);
}

void swiglu(Recording& work, const SwigluParams& p, const Buffers& b) {
    work.dispatch(
        {Shader::swiglu},
        {in(b.gate), in(b.up), out(b.swiglu.values), out(b.swiglu.digits), out(b.swiglu.sums), out(b.swiglu.scale)}, p,
        {work.quantising(std::uint64_t(p.rows) * b.swiglu.blocks())});
}

void down(Recording& work, const DownParams& p, const Weight& w, const Buffers& b) {
    dot_rows(work,
             {.jobs = {{w, p.width, b.expert_out}},
              .in = b.swiglu,
              .tokens = p.tokens,
              .used = p.used,
              .experts = &b,
              .expert_count = p.experts},
             b.nothing);
}

void combine(Recording& work, const CombineParams& p, const Buffers& b) {
    work.dispatch({Shader::combine}, {in(b.expert_out), in(b.expert_weights), out(b.moe_out), out(b.residual)}, p,
                  {(p.width + 127) / 128, p.tokens});
}

void combine_norm(Recording& work, const CombineNormConstants& c, const Buffers& b) {
    work.dispatch({Shader::combine_norm},
                  {in(b.expert_out), in(b.expert_weights), out(b.moe_out), out(b.residual), out(b.normed.values),
                   out(b.normed.digits), out(b.normed.sums), out(b.normed.scale)},
                  c, {c.combine.tokens});
}

void select(Recording& work, const NormParams& p, const Buffers& b) {
    work.dispatch({Shader::select}, {in(b.residual), in(b.batch.wanted), out(b.selected)}, p, {p.tokens});
}

void logits(Recording& work, const LogitsParams& p, std::uint32_t first, const Weight& w, const Buffers& b) {
    dot_rows(work, {.jobs = {{w, p.vocab, b.logits}}, .in = b.normed, .tokens = p.rows, .first_row = first}, b.nothing);
}

void choose(Recording& work, const ChooseParams& p, std::uint32_t first, const Buffers& b) {
    const Choosing& c = b.choosing;
    work.dispatch({Shader::choose_largest}, {in(b.logits), out(c.largest)}, p, {QM_CHOICE_PARTS, p.rows});
    work.dispatch({Shader::choose_sums}, {in(b.logits), in(c.largest), out(c.sums)}, p,
                  {256 / QM_CHOICE_LANES, p.rows});
    work.dispatch({Shader::choose}, {in(b.logits), in(c.largest), in(c.sums), out(c.choices)},
                  ChooseConstants{p, first}, {p.rows});
}

void find_nonfinite(Recording& work, const Region& x, std::uint64_t count, const Region& flags, std::uint32_t which) {
    work.dispatch({Shader::finite}, {in(x), out(flags)}, FiniteParams{static_cast<uint>(count), which},
                  {std::min<std::uint64_t>((count + 1023) / 1024, 1024)});
}

}  // namespace qwen3moe::vulkan
