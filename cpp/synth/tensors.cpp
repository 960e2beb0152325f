#include "synth/tensors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "errors.h"
#include "synth/router_code.h"

namespace qwen3moe {
namespace {

std::uint64_t outliers_of(std::uint64_t channels) { return std::max<std::uint64_t>(1, channels / 512); }

// The size of a normalised hidden state, outliers and all.
double normed_size(const Shape& shape) {
    const auto hidden = static_cast<double>(shape.hidden);
    const auto outliers = static_cast<double>(outliers_of(shape.hidden));
    constexpr double norm_square = 1 + kNormSpread * kNormSpread / 3;
    constexpr double outlier_square =
        (kOutlierLeast * kOutlierLeast + kOutlierLeast * kOutlierMost + kOutlierMost * kOutlierMost) / 3;
    return std::sqrt((hidden - outliers) * norm_square + outliers * outlier_square);
}

class Tensors {
  public:
    Tensors(const Shape& shape, const Mix& mix) : shape_(shape), mix_(mix) {}

    void norm(const std::string& name, std::uint64_t channels, double mean, std::uint64_t outliers) {
        list_.push_back({name + ".weight", gguf::Type::F32, {channels}, mean, 0, outliers, Code::none, 0, 0});
    }
    void matrix(const std::string& prefix, std::uint64_t layer, Part part, std::vector<std::uint64_t> shape,
                double deviation, Code code = Code::none, double gain = 0) {
        const std::string name = prefix + std::string(part_name(part)) + ".weight";
        const gguf::TypeInfo& type = info(mix_.type(part, layer, shape_.layers, shape_.tied));
        if (shape[0] % type.block != 0)
            throw ArgumentError(name + " has rows of " + std::to_string(shape[0]) + " values, and blocks of " +
                                std::string(type.name) + " hold " + std::to_string(type.block) +
                                ": choose another size or type");
        list_.push_back({name, type.type, std::move(shape), 0, deviation, 0, code, layer, gain});
    }
    std::vector<SynthTensor> list() && { return std::move(list_); }

  private:
    const Shape& shape_;
    const Mix& mix_;
    std::vector<SynthTensor> list_;
};

}  // namespace

std::vector<SynthTensor> synth_tensors(const Shape& shape, const Mix& mix) {
    const std::uint64_t hidden = shape.hidden, queries = shape.heads * shape.head_dim;
    const std::uint64_t keys = shape.kv_heads * shape.head_dim;

    // Matrices keep the scale of what they are given, so the residual stream grows slowly through any depth; experts
    // add more to it than attention, which makes tokens alike. Logits spread by a few units, those of routers by so
    // much that few experts hold most of the weight, and queries and keys so that attention picks tokens, not averages.
    const auto inverse_root = [](std::uint64_t fan_in) { return 1 / std::sqrt(static_cast<double>(fan_in)); };
    const double from_normed = 1 / normed_size(shape), head = 3 * from_normed;
    const double from_values = 0.5 * inverse_root(queries), from_swiglu = 2 * inverse_root(shape.ff);
    const double embedding = shape.tied ? head : 0.5, query_norm = 1.5;

    // With a code, its channels part the experts by a dozen units, and the rest moves them by less than one.
    const bool coded = RouterCode(shape).channels() > 0;
    const double router = (coded ? 0.75 : 3) * from_normed;
    const auto code = [coded](Code part) { return coded ? part : Code::none; };
    const auto code_gain = [embedding](std::uint64_t layer) {
        const double residual = std::sqrt(embedding * embedding + 0.2 + 0.7 * static_cast<double>(layer));
        return 12 * residual / (1.5 * embedding);
    };
    const std::uint64_t outliers = outliers_of(hidden);

    Tensors tensors(shape, mix);
    tensors.matrix("", 0, Part::TokenEmbd, {hidden, shape.vocab}, embedding, code(Code::embedding));
    for (std::uint64_t layer = 0; layer < shape.layers; ++layer) {
        const std::string at = "blk." + std::to_string(layer) + ".";
        tensors.norm(at + "attn_norm", hidden, 1, outliers);
        tensors.matrix(at, layer, Part::AttnQ, {hidden, queries}, from_normed);
        tensors.norm(at + "attn_q_norm", shape.head_dim, query_norm, 0);
        tensors.matrix(at, layer, Part::AttnK, {hidden, keys}, from_normed);
        tensors.norm(at + "attn_k_norm", shape.head_dim, query_norm, 0);
        tensors.matrix(at, layer, Part::AttnV, {hidden, keys}, from_normed);
        tensors.matrix(at, layer, Part::AttnOutput, {queries, hidden}, from_values, code(Code::output));
        tensors.norm(at + "ffn_norm", hidden, 1, outliers);
        tensors.matrix(at, layer, Part::FfnGateInp, {hidden, shape.experts}, router, code(Code::router),
                       code_gain(layer));
        tensors.matrix(at, layer, Part::FfnGateExps, {hidden, shape.ff, shape.experts}, from_normed);
        tensors.matrix(at, layer, Part::FfnUpExps, {hidden, shape.ff, shape.experts}, from_normed);
        tensors.matrix(at, layer, Part::FfnDownExps, {shape.ff, hidden, shape.experts}, from_swiglu,
                       code(Code::output));
    }
    tensors.norm("output_norm", hidden, 1, outliers);
    if (!shape.tied) tensors.matrix("", 0, Part::Output, {hidden, shape.vocab}, head);
    return std::move(tensors).list();
}

}  // namespace qwen3moe
