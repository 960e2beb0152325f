#include "model/config.h"

#include <cmath>
#include <string>

#include "gguf/refusal.h"

namespace qwen3moe {
namespace {

constexpr std::string_view kArchitecture = "qwen3moe";

// Larger than any model's, small enough that products of two fit 32 bits with room.
constexpr std::uint64_t kMostOfAnything = 1u << 24;
constexpr std::uint64_t kMostHeads = 1u << 12;
constexpr std::uint64_t kMostExperts = 1u << 16;

const std::string kEmbedding = "tensor \"token_embd.weight\"";

std::string place(std::string_view full_key) { return "key " + gguf::quoted(full_key); }
std::string key(std::string_view name) { return std::string(kArchitecture) + "." + std::string(name); }

std::uint32_t count(const gguf::File& file, std::string_view name, std::uint64_t most) {
    const std::uint64_t n = file.unsigned_of(key(name));
    if (n == 0 || n > most)
        file.refuse(place(key(name)), std::to_string(n), "a number from 1 to " + std::to_string(most));
    return static_cast<std::uint32_t>(n);
}

std::uint32_t count(const gguf::File& file, std::string_view name, std::uint64_t most, std::uint64_t absent) {
    return file.has(key(name)) ? count(file, name, most) : static_cast<std::uint32_t>(absent);
}

double positive(const gguf::File& file, std::string_view name) {
    const double x = file.number_of(key(name));
    if (!std::isfinite(x) || x <= 0) file.refuse(place(key(name)), std::to_string(x), "a finite number above 0");
    return x;
}

void must_equal(const gguf::File& file, const std::string& name, std::uint64_t expected, const char* why) {
    const std::uint64_t n = file.unsigned_of(name, expected);
    if (n != expected) file.refuse(place(name), std::to_string(n), std::to_string(expected) + ", " + why);
}

// Everything here multiplies what a position means; a file that asks for more than the plain rotation is refused.
void check_rope(const gguf::File& file, const Config& c) {
    must_equal(file, key("rope.dimension_count"), c.head_dim, "the length of a head");
    const std::string_view scaling = file.string_of(key("rope.scaling.type"), "none");
    if (scaling != "none")
        file.refuse(place(key("rope.scaling.type")), gguf::quoted(scaling), "none: scaled positions are not supported");
}

void check_vocabulary(const gguf::File& file, const Config& c) {
    must_equal(file, key("vocab_size"), c.vocab, "the rows of token_embd.weight");
    if (const gguf::Entry* tokens = file.find("tokenizer.ggml.tokens")) {
        const auto* list = std::get_if<gguf::Array>(&tokens->value);
        if (!list) file.refuse(place("tokenizer.ggml.tokens"), "a single value", "an array of strings");
        if (list->length != c.vocab)
            file.refuse(place("tokenizer.ggml.tokens"), std::to_string(list->length) + " tokens",
                        std::to_string(c.vocab) + ", the rows of token_embd.weight");
    }
    for (const char* name : {"bos", "eos", "eot", "eom", "unknown", "separator", "padding", "mask", "fim_pre",
                             "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"}) {
        const std::string id_key = "tokenizer.ggml." + std::string(name) + "_token_id";
        const std::uint64_t id = file.unsigned_of(id_key, 0);
        if (id >= c.vocab) file.refuse(place(id_key), std::to_string(id), "a token below " + std::to_string(c.vocab));
    }
}

}  // namespace

Config read_config(const gguf::File& file) {
    const std::string_view architecture = file.string_of("general.architecture");
    if (architecture != kArchitecture)
        file.refuse(place("general.architecture"), gguf::quoted(architecture), gguf::quoted(kArchitecture));

    Config c{};
    c.layers = count(file, "block_count", kMostOfAnything);
    c.context = count(file, "context_length", kMostOfAnything);
    c.width = count(file, "embedding_length", kMostOfAnything);
    c.heads = count(file, "attention.head_count", kMostHeads);
    c.kv_heads = count(file, "attention.head_count_kv", kMostHeads, c.heads);
    c.head_dim = count(file, "attention.key_length", kMostOfAnything, c.width / c.heads);
    c.experts = count(file, "expert_count", kMostExperts);
    c.experts_used = count(file, "expert_used_count", kMostExperts);
    c.ff = count(file, "expert_feed_forward_length", kMostOfAnything);
    c.eps = static_cast<float>(positive(file, "attention.layer_norm_rms_epsilon"));
    c.rope_base = positive(file, "rope.freq_base");
    c.renormalise = file.bool_of(key("expert_weights_norm"), true);

    if (c.heads % c.kv_heads != 0)
        file.refuse(place(key("attention.head_count_kv")), std::to_string(c.kv_heads),
                    "a divisor of the " + std::to_string(c.heads) + " heads");
    if (c.head_dim != 64 && c.head_dim != 128)
        file.refuse(place(key("attention.key_length")), std::to_string(c.head_dim), "64 or 128");
    must_equal(file, key("attention.value_length"), c.head_dim, "the length of a key");
    if (c.experts_used > c.experts)
        file.refuse(place(key("expert_used_count")), std::to_string(c.experts_used),
                    "at most the " + std::to_string(c.experts) + " experts");
    // The smallest sum of squares plus eps must stay inside the reciprocal root's domain.
    if (!(c.eps >= 1e-20f && c.eps <= 1.0f))
        file.refuse(place(key("attention.layer_norm_rms_epsilon")), std::to_string(c.eps), "from 1e-20 to 1");
    if (c.rope_base < 1.0 || c.rope_base > 1e12)
        file.refuse(place(key("rope.freq_base")), std::to_string(c.rope_base), "from 1 to 1e12");
    check_rope(file, c);

    const gguf::Tensor* embedding = file.tensor("token_embd.weight");
    if (!embedding) file.refuse(kEmbedding, "nothing", "the embedding");
    if (embedding->rows() > kMostOfAnything)
        file.refuse(kEmbedding, std::to_string(embedding->rows()) + " rows",
                    "at most " + std::to_string(kMostOfAnything));
    c.vocab = static_cast<std::uint32_t>(embedding->rows());
    check_vocabulary(file, c);
    return c;
}

}  // namespace qwen3moe
