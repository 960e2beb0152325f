// Keeps the process alive when a mapped file fails under a reader: SIGBUS at a watched address becomes a page of zeros
// and a mark. Other SIGBUS go to whoever handled them before.
#pragma once

#include <cstddef>

namespace qwen3moe::gguf::page_guard {

struct Slot;

// A free place in the registry, or null when all are taken. The first call installs the handler.
Slot* reserve();
void watch(Slot* slot, const std::byte* begin, std::size_t size);
bool torn(const Slot* slot);
void release(Slot* slot);  // call before the range is unmapped

}  // namespace qwen3moe::gguf::page_guard
