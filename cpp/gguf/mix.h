// Which tensor of a model has which type: the named mixes, and exceptions from them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "gguf/types.h"

namespace qwen3moe {

// The matrices of a model; its norms are always F32.
enum class Part {
    TokenEmbd,
    Output,
    AttnQ,
    AttnK,
    AttnV,
    AttnOutput,
    FfnGateInp,
    FfnGateExps,
    FfnUpExps,
    FfnDownExps,
};

std::string_view part_name(Part part);  // as in tensor names: "attn_q"
Part part_of(std::string_view name);    // throws ArgumentError where there is none

class Mix {
  public:
    // A mix such as Q4_K_M, or a type for all matrices but the router; `exceptions` are types by part name. Throws
    // ArgumentError, which lists what is known.
    Mix(std::string_view name, const std::map<std::string, std::string>& exceptions);

    gguf::Type type(Part part, std::uint64_t layer, std::uint64_t layers, bool tied) const;
    std::uint32_t file_type() const { return base_.file_type; }  // general.file_type of the mix, exceptions or not

  private:
    struct Base {
        std::string_view name;
        std::uint32_t file_type;
        gguf::Type most;    // of most matrices
        gguf::Type better;  // of the output head, and of attn_v and ffn_down_exps in some layers
    };
    static const Base kBases[];

    const Base& base_;
    std::map<Part, gguf::Type> exceptions_;
};

}  // namespace qwen3moe
