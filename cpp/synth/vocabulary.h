// A vocabulary for models that have none: byte-level BPE, complete and consistent, of any size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qwen3moe {

struct Vocabulary {
    std::vector<std::string> tokens;  // in the alphabet that shows every byte as a printable character
    std::vector<std::int32_t> types;  // of each token, as GGUF numbers them
    std::vector<std::string> merges;  // "a b", best first; merge i makes token 256 + i
    std::uint32_t end_of_text, message_end;
};

// 256 bytes; then merges that form words, so that each word is found again by encoding it; then ChatML's control
// tokens; then unused ones. `size` is at least 264.
Vocabulary make_vocabulary(std::uint64_t size);

// The chat template of such a vocabulary (Jinja).
extern const char* const kChatTemplate;

}  // namespace qwen3moe
