#include "gguf/utf8.h"

#include <cstddef>

namespace qwen3moe::gguf {

bool is_utf8(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (std::size_t i = 0; i < text.size();) {
        const unsigned char lead = byte(i++);
        if (lead < 0x80) continue;
        const std::size_t tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || text.size() - i < tail) return false;
        // Only the first byte of the tail is ever restricted further: by overlong forms, surrogates and the last plane.
        const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (byte(i) < low || byte(i) > high) return false;
        for (std::size_t k = 1; k < tail; ++k)
            if ((byte(i + k) & 0xc0) != 0x80) return false;
        i += tail;
    }
    return true;
}

}  // namespace qwen3moe::gguf
