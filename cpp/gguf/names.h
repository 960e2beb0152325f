// Unique names and their places. It owns its copies, so a look-up stays right when the file changes; it is a tree,
// because crafted names could flood a hash table, and a sort goes astray when what it compares changes.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qwen3moe::gguf {

class Names {
  public:
    // The name as kept here, at an address that stays; nothing where it is already taken.
    std::optional<std::string_view> add(std::string_view name, std::size_t place) {
        const auto [position, added] = places_.try_emplace(std::string(name), place);
        if (!added) return std::nullopt;
        return position->first;
    }

    std::optional<std::size_t> find(std::string_view name) const {
        const auto position = places_.find(name);
        if (position == places_.end()) return std::nullopt;
        return position->second;
    }

  private:
    std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace qwen3moe::gguf
