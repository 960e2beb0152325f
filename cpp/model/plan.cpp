#include "model/plan.h"

#include <algorithm>

namespace qwen3moe {
namespace {

using B = Buffer;

void add_layer(std::vector<Step>& steps, const LayerWeights& w, std::uint32_t i) {
    const auto add = [&](Step step) { steps.push_back(std::move(step)); };
    add({Op::norm, i, {B::residual}, {B::normed}, {w.attn_norm}, {{"attn_norm", B::normed}}});
    add({Op::qkv, i, {B::normed}, {B::q, B::k, B::v}, {w.q, w.k, w.v}, {{"q", B::q}, {"k", B::k}, {"v", B::v}}});
    add({Op::rope_append,
         i,
         {B::q, B::k, B::v},
         {B::q, B::k, B::cache},
         {w.q_norm, w.k_norm},
         {{"q_rope", B::q}, {"k_rope", B::k}}});
    add({Op::attention, i, {B::q, B::cache}, {B::attention}, {}, {{"attn_out", B::attention}}});
    add({Op::output, i, {B::attention, B::residual}, {B::residual}, {w.output}, {{"post_attn_residual", B::residual}}});
    add({Op::norm, i, {B::residual}, {B::normed}, {w.ffn_norm}, {{"ffn_norm", B::normed}}});
    add({Op::router, i, {B::normed}, {B::router_logits}, {w.router}, {{"moe_router.logits", B::router_logits}}});
    add({Op::topk,
         i,
         {B::router_logits},
         {B::probabilities, B::expert_ids, B::expert_weights},
         {},
         {{"moe_router.probabilities", B::probabilities},
          {"moe_router.ids", B::expert_ids},
          {"moe_router.weights", B::expert_weights}}});
    add({Op::gate_up,
         i,
         {B::normed, B::expert_ids},
         {B::gate, B::up},
         {w.gate, w.up},
         {{"expert.gate", B::gate}, {"expert.up", B::up}}});
    add({Op::swiglu, i, {B::gate, B::up}, {B::swiglu}, {}, {{"expert.swiglu", B::swiglu}}});
    add({Op::down, i, {B::swiglu, B::expert_ids}, {B::expert_out}, {w.down}, {{"expert.out", B::expert_out}}});
    add({Op::combine,
         i,
         {B::expert_out, B::expert_weights, B::residual},
         {B::moe_out, B::residual},
         {},
         {{"moe_ffn_out", B::moe_out}, {"post_ffn_residual", B::residual}}});
}

}  // namespace

Plan make_plan(const Weights& w) {
    Plan plan;
    plan.steps.push_back({Op::embed, kNoLayer, {B::tokens}, {B::residual}, {w.embedding}, {{"embed", B::residual}}});
    for (std::uint32_t i = 0; i < w.layers.size(); i++) add_layer(plan.steps, w.layers[i], i);
    plan.steps.push_back({Op::select, kNoLayer, {B::residual}, {B::selected}, {}, {}});
    plan.steps.push_back(
        {Op::norm, kNoLayer, {B::selected}, {B::normed}, {w.output_norm}, {{"final_norm", B::normed}}});
    plan.steps.push_back({Op::logits, kNoLayer, {B::normed}, {B::logits}, {w.head}, {{"logits", B::logits}}});
    return plan;
}

Plan with_captures(const Plan& plan, const StageFilter& wanted) {
    Plan traced;
    for (const Step& step : plan.steps) {
        traced.steps.push_back(step);
        Step capture{Op::capture, step.layer, {}, {}, {}, {}};
        for (const Stage& stage : step.stages) {
            if (!wanted(stage.name, step.layer)) continue;
            capture.reads.push_back(stage.buffer);
            capture.stages.push_back(stage);
        }
        if (!capture.stages.empty()) traced.steps.push_back(std::move(capture));
    }
    return traced;
}

std::vector<std::string_view> stage_names() {
    Weights one_layer{};
    one_layer.layers.resize(1);
    std::vector<std::string_view> names;
    for (const Step& step : make_plan(one_layer).steps)
        for (const Stage& stage : step.stages) names.push_back(stage.name);
    return names;
}

std::string_view name(Op op) {
    constexpr std::string_view names[] = {"embed",  "norm",    "qkv",    "rope_append", "attention",
                                          "output", "router",  "topk",   "gate_up",     "swiglu",
                                          "down",   "combine", "select", "logits",      "capture"};
    return names[static_cast<std::size_t>(op)];
}

std::string_view name(Buffer buffer) {
    constexpr std::string_view names[] = {"none",
                                          "tokens",
                                          "residual",
                                          "normed",
                                          "q",
                                          "k",
                                          "v",
                                          "cache",
                                          "attention",
                                          "router_logits",
                                          "probabilities",
                                          "expert_ids",
                                          "expert_weights",
                                          "gate",
                                          "up",
                                          "swiglu",
                                          "expert_out",
                                          "moe_out",
                                          "selected",
                                          "logits"};
    return names[static_cast<std::size_t>(buffer)];
}

std::string describe(const Step& step) {
    std::string text = (step.layer == kNoLayer ? "-" : std::to_string(step.layer)) + " " + std::string(name(step.op));
    text += ":";
    for (Buffer b : step.reads) text += " " + std::string(name(b));
    text += " ->";
    for (Buffer b : step.writes) text += " " + std::string(name(b));
    if (!step.weights.empty()) text += " |";
    for (const gguf::Tensor* w : step.weights)
        text += " " + std::string(w->name) + ":" + std::string(info(w->type).name);
    return text;
}

}  // namespace qwen3moe
