// A file mapped for reading. A page that cannot be read (the file shrank, the disk failed) reads as zeros and is told
// by check_intact, where the system would end the process.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "gguf/page_guard.h"

namespace qwen3moe::gguf {

class Mapping {
  public:
    // Throws FileError where the system refuses, GGUFError for what is no regular file or is empty.
    explicit Mapping(const std::string& path);
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    std::span<const std::byte> bytes() const { return {begin_, size_}; }

    // Throws GGUFError when the file shrank, or a page failed, since it was mapped.
    void check_intact() const;

  private:
    void map();

    std::string path_;
    int descriptor_;
    const std::byte* begin_ = nullptr;
    std::size_t size_ = 0;
    page_guard::Slot* slot_ = nullptr;
};

}  // namespace qwen3moe::gguf
