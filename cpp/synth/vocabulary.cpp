#include "synth/vocabulary.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace qwen3moe {
namespace {

enum TokenType : std::int32_t { kNormal = 1, kControl = 3, kUnused = 5 };

constexpr std::uint64_t kBytes = 256;

// What text is made of, in the alphabet of tokens: a space is Ġ, a newline is Ċ.
constexpr std::string_view kWords =
    "ĊĊ ĠĠ ĠĠĠ ĠĠĠĠĠĠĠ Ġthe Ġa Ġof Ġand Ġto Ġin Ġis Ġthat Ġfor Ġit Ġas Ġwas Ġwith Ġbe Ġby Ġon Ġnot Ġare Ġfrom Ġat Ġor "
    "Ġan Ġhave Ġthis Ġwhich Ġyou Ġwe Ġcan Ġall Ġone Ġhas Ġmore Ġwill Ġif Ġwhen Ġthere Ġno Ġtheir Ġso Ġwhat Ġout "
    "Ġnumber "
    "Ġtime Ġfirst Ġlist Ġfile Ġvalue Ġname Ġtype Ġdata Ġcode Ġset ing tion ed er ly ment ness able The In A It We If "
    "def return import class self None True False for while else elif print range len int str float def Ġdef Ġreturn "
    "Ġimport Ġfrom Ġclass Ġself Ġelse Ġelif Ġwhile ĠNone ĠTrue ĠFalse Ġlambda Ġtry Ġexcept Ġraise Ġwith Ġyield Ġassert "
    "Ġprint Ġrange Ġlen Ġint Ġstr Ġfloat Ġbool Ġdict Ġkey Ġindex Ġresult Ġinput Ġoutput void const auto static struct "
    "include using namespace template public private function let var fn pub use mut impl Ġvoid Ġconst Ġauto Ġfunction "
    "() (): ): == != <= >= -> => += -= ** // :: && || [] {} {Ċ }Ċ )Ċ :Ċ ,Ċ ;Ċ .Ċ Ġ= Ġ== Ġ!= Ġ<= Ġ>= Ġ-> Ġ+ Ġ- Ġ* Ġ/ Ġ( "
    "Ġ{ "
    "Ġ[ Ġ} Ġ# Ġ// Ġ\" Ġ' \"\" '' system user assistant Hello Ġworld Ġhello";

std::string utf8(std::uint32_t character) {  // below 0x800
    if (character < 0x80) return {static_cast<char>(character)};
    return {static_cast<char>(0xc0 | character >> 6), static_cast<char>(0x80 | (character & 0x3f))};
}

// The first character of text that utf8() made.
std::size_t character_bytes(std::string_view text) { return static_cast<unsigned char>(text[0]) < 0x80 ? 1 : 2; }
std::size_t character(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    return character_bytes(text) == 1 ? byte(0) : std::size_t{byte(0) & 0x1fU} << 6 | (byte(1) & 0x3fU);
}

// Printable characters of Latin-1 show their own byte and come first; all other bytes follow as characters from 256 on.
std::vector<std::string> byte_tokens() {
    const auto printable = [](std::uint32_t byte) {
        return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173 && byte <= 255);
    };
    std::vector<std::string> tokens;
    for (std::uint32_t byte = 0; byte < kBytes; ++byte)
        if (printable(byte)) tokens.push_back(utf8(byte));
    for (std::uint32_t other = 256; tokens.size() < kBytes; ++other) tokens.push_back(utf8(other));
    return tokens;
}

// Where the real words end: words of two syllables, then of three, each with and without a space before it.
std::string invented_word(std::uint64_t i) {
    constexpr std::string_view consonants = "bdfghjklmnprstvwzcxy", vowels = "aeiou";
    constexpr std::uint64_t syllables = consonants.size() * vowels.size();
    std::string word = i % 2 == 0 ? "Ġ" : "";
    i /= 2;
    const int count = i < syllables * syllables ? 2 : 3;
    if (count == 3) i -= syllables * syllables;
    for (int k = 0; k < count; ++k, i /= syllables) {
        word += consonants[i % syllables % consonants.size()];
        word += vowels[i % syllables / consonants.size()];
    }
    return word;
}

class Merges {
  public:
    // Of a vocabulary of bytes so far, which will grow to `most` tokens.
    Merges(Vocabulary& vocabulary, std::uint64_t most)
        : tokens_(vocabulary.tokens), merges_(vocabulary.merges), most_(most) {
        tokens_.reserve(most);
        merges_.reserve(most);
        known_.reserve(most);
        merged_.reserve(most);
        for (std::uint32_t id = 0; id < tokens_.size(); ++id) characters_[character(tokens_[id])] = id;
        known_.insert(tokens_.begin(), tokens_.end());
    }

    bool full() const { return tokens_.size() == most_; }

    // Adds merges until the word is one token or the vocabulary is full.
    void learn(std::string_view word) {
        std::vector<std::uint32_t> symbols = encode(word);
        while (symbols.size() > 1 && !full()) {
            const std::string left = tokens_[symbols[0]], right = tokens_[symbols[1]];
            if (!known_.insert(left + right).second) return;  // another pair makes it already
            const auto token = static_cast<std::uint32_t>(tokens_.size());
            const std::uint64_t both = pair(symbols[0], symbols[1]);
            merged_[both] = token;
            merges_.push_back(left + " " + right);
            tokens_.push_back(left + right);
            merge(symbols, both, token);
        }
    }

  private:
    static std::uint64_t pair(std::uint64_t left, std::uint64_t right) { return left << 32 | right; }

    // A merge's token number grows with its rank, so the least number is the best merge.
    std::vector<std::uint32_t> encode(std::string_view word) const {
        std::vector<std::uint32_t> symbols;
        for (; !word.empty(); word.remove_prefix(character_bytes(word)))
            symbols.push_back(characters_[character(word)]);
        for (;;) {
            auto best = merged_.end();
            for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
                const auto found = merged_.find(pair(symbols[i], symbols[i + 1]));
                if (found != merged_.end() && (best == merged_.end() || found->second < best->second)) best = found;
            }
            if (best == merged_.end()) return symbols;
            merge(symbols, best->first, best->second);
        }
    }

    static void merge(std::vector<std::uint32_t>& symbols, std::uint64_t both, std::uint32_t token) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < symbols.size(); ++i) {
            const bool here = i + 1 < symbols.size() && pair(symbols[i], symbols[i + 1]) == both;
            symbols[kept++] = here ? token : symbols[i];
            if (here) ++i;
        }
        symbols.resize(kept);
    }

    std::vector<std::string>& tokens_;
    std::vector<std::string>& merges_;
    const std::uint64_t most_;
    std::array<std::uint32_t, 2 * kBytes> characters_{};  // token of each
    std::unordered_set<std::string> known_;
    std::unordered_map<std::uint64_t, std::uint32_t> merged_;
};

}  // namespace

Vocabulary make_vocabulary(std::uint64_t size) {
    Vocabulary vocabulary;
    std::vector<std::string>& tokens = vocabulary.tokens;
    tokens = byte_tokens();

    constexpr std::string_view controls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    const std::uint64_t unused = std::min<std::uint64_t>(size / 64, 256);
    const std::uint64_t most = size - std::size(controls) - unused;
    Merges merges(vocabulary, most);
    for (std::size_t start = 0, end = 0; end < kWords.size(); start = end + 1) {
        end = std::min(kWords.find(' ', start), kWords.size());
        merges.learn(kWords.substr(start, end - start));
    }
    for (std::uint64_t i = 0; !merges.full(); ++i) merges.learn(invented_word(i));
    vocabulary.types.assign(tokens.size(), kNormal);

    vocabulary.end_of_text = static_cast<std::uint32_t>(tokens.size());
    vocabulary.message_end = vocabulary.end_of_text + 2;
    tokens.insert(tokens.end(), std::begin(controls), std::end(controls));
    vocabulary.types.resize(tokens.size(), kControl);

    while (tokens.size() < size) tokens.push_back("[PAD" + std::to_string(tokens.size()) + "]");
    vocabulary.types.resize(tokens.size(), kUnused);
    return vocabulary;
}

const char* const kChatTemplate =
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

}  // namespace qwen3moe
