// Looks a name up in a table; the refusal of an unknown one lists what is there.
#pragma once

#include <string>
#include <string_view>

#include "errors.h"

namespace qwen3moe {

// The item of `table` with this `.name`. Throws ArgumentError.
template <class Table>
const auto& named(const Table& table, std::string_view name, std::string_view what) {
    std::string names;
    for (const auto& item : table) {
        if (item.name == name) return item;
        names += (names.empty() ? "" : ", ") + std::string(item.name);
    }
    throw ArgumentError("no " + std::string(what) + " is called '" + std::string(name) + "'; there is: " + names);
}

}  // namespace qwen3moe
