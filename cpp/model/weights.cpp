#include "model/weights.h"

#include <initializer_list>
#include <string>
#include <unordered_set>

#include "gguf/refusal.h"

namespace qwen3moe {
namespace {

std::string shape_text(const std::uint64_t* shape, std::size_t rank) {
    std::string text = "[";
    for (std::size_t i = 0; i < rank; i++) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

std::string place(std::string_view name) { return "tensor " + gguf::quoted(name); }

class Finder {
  public:
    explicit Finder(const gguf::File& file) : file_(file) {}

    // A tensor of this shape, fastest dimension first.
    const gguf::Tensor* matrix(const std::string& name, std::initializer_list<std::uint64_t> shape) {
        const gguf::Tensor* t = file_.tensor(name);
        if (!t) file_.refuse(place(name), "nothing", "a tensor of shape " + shape_text(shape.begin(), shape.size()));
        bool same = t->rank <= 4;
        for (std::size_t i = 0; i < 4; i++) same &= t->shape[i] == (i < shape.size() ? shape.begin()[i] : 1);
        if (!same)
            file_.refuse(place(name), "shape " + shape_text(t->shape, t->rank),
                         shape_text(shape.begin(), shape.size()));
        used_.insert(t);
        return t;
    }

    // Norm weights are read as floats in place: the mapping begins with a page, and data at a multiple of 8 at least.
    const gguf::Tensor* vector(const std::string& name, std::uint64_t length) {
        const gguf::Tensor* t = matrix(name, {length});
        if (t->type != gguf::Type::F32) file_.refuse(place(name), "type " + std::string(info(t->type).name), "F32");
        return t;
    }

    // A tensor left over means that the model computes something that this plan does not.
    void refuse_leftovers() const {
        for (const gguf::Tensor& t : file_.tensors())
            if (!used_.contains(&t))
                file_.refuse(place(t.name), "a tensor that Qwen3-MoE has no use for",
                             "only the tensors of the architecture");
    }

  private:
    const gguf::File& file_;
    std::unordered_set<const gguf::Tensor*> used_;
};

LayerWeights read_layer(Finder& find, const Config& c, std::uint32_t layer) {
    const std::string at = "blk." + std::to_string(layer) + ".";
    return {
        .attn_norm = find.vector(at + "attn_norm.weight", c.width),
        .q = find.matrix(at + "attn_q.weight", {c.width, c.q_rows()}),
        .k = find.matrix(at + "attn_k.weight", {c.width, c.kv_rows()}),
        .v = find.matrix(at + "attn_v.weight", {c.width, c.kv_rows()}),
        .q_norm = find.vector(at + "attn_q_norm.weight", c.head_dim),
        .k_norm = find.vector(at + "attn_k_norm.weight", c.head_dim),
        .output = find.matrix(at + "attn_output.weight", {c.q_rows(), c.width}),
        .ffn_norm = find.vector(at + "ffn_norm.weight", c.width),
        .router = find.matrix(at + "ffn_gate_inp.weight", {c.width, c.experts}),
        .gate = find.matrix(at + "ffn_gate_exps.weight", {c.width, c.ff, c.experts}),
        .up = find.matrix(at + "ffn_up_exps.weight", {c.width, c.ff, c.experts}),
        .down = find.matrix(at + "ffn_down_exps.weight", {c.ff, c.width, c.experts}),
    };
}

}  // namespace

Weights read_weights(const gguf::File& file, const Config& c) {
    Finder find(file);
    Weights w{};
    w.embedding = find.matrix("token_embd.weight", {c.width, c.vocab});
    w.output_norm = find.vector("output_norm.weight", c.width);
    w.head = file.tensor("output.weight") ? find.matrix("output.weight", {c.width, c.vocab}) : w.embedding;
    for (std::uint32_t i = 0; i < c.layers; i++) w.layers.push_back(read_layer(find, c, i));
    find.refuse_leftovers();
    return w;
}

}  // namespace qwen3moe
