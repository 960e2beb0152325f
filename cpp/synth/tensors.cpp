#include "synth/tensors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "errors.h"

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
        list_.push_back({name + ".weight", gguf::Type::F32, {channels}, mean, 0, outliers});
    }
    void matrix(const std::string& prefix, std::uint64_t layer, Part part, std::vector<std::uint64_t> shape,
                double deviation) {
        const std::string name = prefix + std::string(part_name(part)) + ".weight";
        const gguf::TypeInfo& type = info(mix_.type(part, layer, shape_.layers, shape_.tied));
        if (shape[0] % type.block != 0)
            throw ArgumentError(name + " has rows of " + std::to_string(shape[0]) + " values, and blocks of " +
                                std::string(type.name) + " hold " + std::to_string(type.block) +
                                ": choose another size or type");
        list_.push_back({name, type.type, std::move(shape), 0, deviation, 0});
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

    // Every matrix keeps the scale of what it is given, so the residual stream grows slowly through any depth. Logits
    // spread by a few units; those of routers by so much that few experts hold most of the weight; queries and keys so
    // that attention picks tokens rather than averaging them.
    const double from_normed = 1 / normed_size(shape);
    const double router = 3 * from_normed, head = 3 * from_normed, embedding = 0.5, query_norm = 1.5;
    const double from_values = 1 / std::sqrt(static_cast<double>(queries));
    const double from_swiglu = 1 / std::sqrt(static_cast<double>(shape.ff));

    const std::uint64_t outliers = outliers_of(hidden);

    Tensors tensors(shape, mix);
    tensors.matrix("", 0, Part::TokenEmbd, {hidden, shape.vocab}, shape.tied ? head : embedding);
    for (std::uint64_t layer = 0; layer < shape.layers; ++layer) {
        const std::string at = "blk." + std::to_string(layer) + ".";
        tensors.norm(at + "attn_norm", hidden, 1, outliers);
        tensors.matrix(at, layer, Part::AttnQ, {hidden, queries}, from_normed);
        tensors.norm(at + "attn_q_norm", shape.head_dim, query_norm, 0);
        tensors.matrix(at, layer, Part::AttnK, {hidden, keys}, from_normed);
        tensors.norm(at + "attn_k_norm", shape.head_dim, query_norm, 0);
        tensors.matrix(at, layer, Part::AttnV, {hidden, keys}, from_normed);
        tensors.matrix(at, layer, Part::AttnOutput, {queries, hidden}, from_values);
        tensors.norm(at + "ffn_norm", hidden, 1, outliers);
        tensors.matrix(at, layer, Part::FfnGateInp, {hidden, shape.experts}, router);
        tensors.matrix(at, layer, Part::FfnGateExps, {hidden, shape.ff, shape.experts}, from_normed);
        tensors.matrix(at, layer, Part::FfnUpExps, {hidden, shape.ff, shape.experts}, from_normed);
        tensors.matrix(at, layer, Part::FfnDownExps, {shape.ff, hidden, shape.experts}, from_swiglu);
    }
    tensors.norm("output_norm", hidden, 1, outliers);
    if (!shape.tied) tensors.matrix("", 0, Part::Output, {hidden, shape.vocab}, head);
    return std::move(tensors).list();
}

}  // namespace qwen3moe
