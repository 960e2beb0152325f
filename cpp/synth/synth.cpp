#include "synth/synth.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "gguf/writer.h"
#include "synth/vocabulary.h"

namespace qwen3moe {
namespace {

gguf::Writer describe(const std::string& name, const Shape& shape, const Mix& mix,
                      const std::vector<SynthTensor>& tensors) {
    gguf::Writer writer;
    writer.add("general.architecture", "qwen3moe");
    writer.add("general.type", "model");
    writer.add("general.name", name);
    writer.add("general.file_type", mix.file_type());
    writer.add("general.quantization_version", std::uint32_t{2});

    const auto number = [&](const char* key, std::uint64_t value) {
        writer.add(std::string("qwen3moe.") + key, static_cast<std::uint32_t>(value));
    };
    number("block_count", shape.layers);
    number("context_length", shape.context);
    number("embedding_length", shape.hidden);
    number("feed_forward_length", shape.experts_used * shape.ff);
    number("attention.head_count", shape.heads);
    number("attention.head_count_kv", shape.kv_heads);
    number("attention.key_length", shape.head_dim);
    number("attention.value_length", shape.head_dim);
    number("expert_count", shape.experts);
    number("expert_used_count", shape.experts_used);
    number("expert_feed_forward_length", shape.ff);
    number("vocab_size", shape.vocab);
    writer.add("qwen3moe.attention.layer_norm_rms_epsilon", static_cast<float>(shape.eps));
    writer.add("qwen3moe.rope.freq_base", static_cast<float>(shape.rope));

    const Vocabulary vocabulary = make_vocabulary(shape.vocab);
    writer.add("tokenizer.ggml.model", "gpt2");
    writer.add("tokenizer.ggml.pre", "qwen2");
    writer.add("tokenizer.ggml.tokens", vocabulary.tokens);
    writer.add("tokenizer.ggml.token_type", vocabulary.types);
    writer.add("tokenizer.ggml.merges", vocabulary.merges);
    writer.add("tokenizer.ggml.eos_token_id", vocabulary.message_end);
    writer.add("tokenizer.ggml.bos_token_id", vocabulary.end_of_text);
    writer.add("tokenizer.ggml.padding_token_id", vocabulary.end_of_text);
    writer.add("tokenizer.ggml.add_bos_token", false);
    writer.add("tokenizer.chat_template", kChatTemplate);

    for (const SynthTensor& tensor : tensors) writer.add_tensor(tensor.name, tensor.type, tensor.shape);
    return writer;
}

}  // namespace

void synth(const std::string& path, const std::string& name, const Shape& shape, const Mix& mix, std::uint64_t seed,
           unsigned threads, const Progress& progress) {
    const std::vector<SynthTensor> tensors = synth_tensors(shape, mix);
    gguf::Output output(describe(name, shape, mix, tensors), path);

    std::uint64_t total = 0;
    const Progress noted = [&](std::uint64_t done, std::uint64_t all) { progress(done, total = all); };
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    synth_fill(output, tensors, RouterCode(shape), seed, threads, noted);
    output.commit([&] { progress(total, total); });
}

}  // namespace qwen3moe
