#include "gguf/mix.h"

#include "gguf/named.h"

namespace qwen3moe {
namespace {

using gguf::Type;

struct NamedPart {
    std::string_view name;
    Part part;
};

constexpr NamedPart kParts[] = {
    {"token_embd", Part::TokenEmbd},
    {"output", Part::Output},
    {"attn_q", Part::AttnQ},
    {"attn_k", Part::AttnK},
    {"attn_v", Part::AttnV},
    {"attn_output", Part::AttnOutput},
    {"ffn_gate_inp", Part::FfnGateInp},
    {"ffn_gate_exps", Part::FfnGateExps},
    {"ffn_up_exps", Part::FfnUpExps},
    {"ffn_down_exps", Part::FfnDownExps},
};

// The first and the last eighth of the layers, and every third between.
bool has_better_types(std::uint64_t layer, std::uint64_t layers) {
    const std::uint64_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

}  // namespace

const Mix::Base Mix::kBases[] = {
    {"F32", 0, Type::F32, Type::F32},           {"F16", 1, Type::F16, Type::F16},
    {"BF16", 32, Type::BF16, Type::BF16},       {"Q8_0", 7, Type::Q8_0, Type::Q8_0},
    {"Q4_0", 2, Type::Q4_0, Type::Q4_0},        {"Q4_1", 3, Type::Q4_1, Type::Q4_1},
    {"Q5_0", 8, Type::Q5_0, Type::Q5_0},        {"Q5_1", 9, Type::Q5_1, Type::Q5_1},
    {"IQ4_NL", 25, Type::IQ4_NL, Type::IQ4_NL}, {"Q2_K", 10, Type::Q2_K, Type::Q2_K},
    {"Q3_K", 11, Type::Q3_K, Type::Q3_K},       {"Q4_K", 14, Type::Q4_K, Type::Q4_K},
    {"Q5_K", 16, Type::Q5_K, Type::Q5_K},       {"Q6_K", 18, Type::Q6_K, Type::Q6_K},
    {"IQ4_XS", 30, Type::IQ4_XS, Type::IQ4_XS}, {"Q4_K_M", 15, Type::Q4_K, Type::Q6_K},
    {"Q5_K_M", 17, Type::Q5_K, Type::Q6_K},
};

std::string_view part_name(Part part) { return kParts[static_cast<std::size_t>(part)].name; }

Part part_of(std::string_view name) { return named(kParts, name, "class of tensors").part; }

Mix::Mix(std::string_view name, const std::map<std::string, std::string>& exceptions)
    : base_(named(kBases, name, "mix of types")) {
    for (const auto& [part, type] : exceptions) exceptions_[part_of(part)] = named(gguf::kTypes, type, "type").type;
}

Type Mix::type(Part part, std::uint64_t layer, std::uint64_t layers, bool tied) const {
    const auto exception = exceptions_.find(part);
    if (exception != exceptions_.end()) return exception->second;
    switch (part) {
        case Part::FfnGateInp:
            return Type::F32;
        case Part::Output:
            return base_.better;
        case Part::TokenEmbd:
            return tied ? base_.better : base_.most;
        case Part::AttnV:
        case Part::FfnDownExps:
            return has_better_types(layer, layers) ? base_.better : base_.most;
        default:
            return base_.most;
    }
}

}  // namespace qwen3moe
