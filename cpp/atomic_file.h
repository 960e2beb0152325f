// A file that appears whole or not at all: written under a temporary name beside its own, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace qwen3moe {

class AtomicFile {
  public:
    // Reserves all bytes at once, so that a full disk is known before any work. Throws FileError, as all here do.
    AtomicFile(const std::string& path, std::uint64_t bytes);

    // From any thread, in any order. Bytes never written are zero.
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const;

    // Flushes to disk and takes the name. `poll` is called many times a second and may throw to stop.
    void commit(const std::function<void()>& poll = {});

  private:
    struct Temporary {
        Temporary() = default;
        Temporary(const Temporary&) = delete;
        Temporary& operator=(const Temporary&) = delete;
        ~Temporary();  // takes the file away unless it was renamed

        std::string name;  // empty where there is none
        int descriptor = -1;
    };

    [[noreturn]] void fail(const char* what) const;
    [[noreturn]] void fail(int number, const char* what) const;
    void create();
    void reserve() const;
    void flush(const std::function<void()>& poll) const;

    std::string path_;
    std::uint64_t bytes_;
    Temporary temporary_;
};

}  // namespace qwen3moe
