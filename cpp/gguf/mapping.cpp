#include "gguf/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>

#include "errors.h"
#include "gguf/refusal.h"

namespace qwen3moe::gguf {
namespace {

// The first bytes of a file hold its metadata, and small files are read whole: worth fetching ahead. The weights of a
// large one are not; who reads them knows the order.
constexpr std::size_t kReadAhead = std::size_t{16} << 20;

[[noreturn]] void fail(const std::string& path, int number, const char* action) {
    throw FileError(number, shown_path(path) + ": " + action + ": " + std::generic_category().message(number));
}

struct stat status_of(int descriptor, const std::string& path) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) fail(path, errno, "its size cannot be read");
    return status;
}

}  // namespace

Mapping::Mapping(const std::string& path) : path_(path) {
    // Without O_NONBLOCK opening a FIFO would wait for its writer.
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor_ < 0) fail(path, errno, "cannot be opened");
    try {
        map();
    } catch (...) {
        close(descriptor_);
        throw;
    }
}

void Mapping::map() {
    const struct stat status = status_of(descriptor_, path_);
    if (S_ISDIR(status.st_mode)) fail(path_, EISDIR, "cannot be opened");
    if (!S_ISREG(status.st_mode)) refuse(path_, "file", "a pipe, socket or device", "a regular file");
    if (status.st_size == 0) refuse(path_, "file", "nothing: it is empty", "a GGUF model");
    if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max())
        fail(path_, EFBIG, "cannot be mapped");
    size_ = static_cast<std::size_t>(status.st_size);

    slot_ = page_guard::reserve();
    if (!slot_) fail(path_, ENFILE, "cannot be mapped, too many models are open");
    void* const address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (address == MAP_FAILED) {
        const int number = errno;
        page_guard::release(slot_);
        fail(path_, number, "cannot be mapped");
    }
    begin_ = static_cast<const std::byte*>(address);
    page_guard::watch(slot_, begin_, size_);
    posix_madvise(address, size_ < kReadAhead ? size_ : kReadAhead, POSIX_MADV_WILLNEED);
#ifdef MADV_HUGEPAGE
    madvise(address, size_, MADV_HUGEPAGE);  // what is not in memory yet comes in pages of 2 MB, where files have them
#endif
}

Mapping::~Mapping() {
    // In this order: once unmapped, the addresses may at once belong to another mapping.
    page_guard::release(slot_);
    munmap(const_cast<std::byte*>(begin_), size_);
    close(descriptor_);
}

void Mapping::check_intact() const {
    const std::string expected = std::to_string(size_) + " readable bytes, as when it was opened; copy it again";
    if (page_guard::torn(slot_)) refuse(path_, "file", "pages that can no longer be read", expected);
    const auto size = static_cast<std::uintmax_t>(status_of(descriptor_, path_).st_size);
    if (size < size_) refuse(path_, "file", std::to_string(size) + " bytes", expected);
}

}  // namespace qwen3moe::gguf
