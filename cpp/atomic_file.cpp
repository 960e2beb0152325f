#include "atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>
#include <thread>

#include "errors.h"

namespace qwen3moe {
namespace {

constexpr std::uint64_t kFlushPiece = 8 << 20;          // short enough to stop between two pieces
constexpr std::uint64_t kFlushAhead = 8 * kFlushPiece;  // enough for a disk to be kept busy

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path, std::uint64_t bytes) : path_(path), bytes_(bytes) {
    struct stat found;
    if (::stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode))
        fail(S_ISDIR(found.st_mode) ? EISDIR : EEXIST, "is there already and is not a file: choose another path");
    if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) fail(EFBIG, "cannot be reserved");
    create();
    reserve();
}

AtomicFile::Temporary::~Temporary() {
    if (descriptor < 0) return;
    if (name.empty()) {
        ::close(descriptor);
        return;
    }
    ::unlink(name.c_str());
    // Closing frees what was written, seconds for a large file: nobody who cancelled should wait for that.
    try {
        std::thread([file = descriptor] { ::close(file); }).detach();
    } catch (const std::system_error&) {
        ::close(descriptor);
    }
}

void AtomicFile::fail(const char* what) const { fail(errno, what); }

void AtomicFile::fail(int number, const char* what) const {
    throw FileError(number, path_ + " (" + std::to_string(bytes_) + " bytes) " + what + ": " +
                                std::generic_category().message(number));
}

void AtomicFile::create() {
    const std::string stem = path_ + "." + std::to_string(::getpid()) + ".";
    for (int i = 0; temporary_.descriptor < 0; ++i) {
        const std::string name = stem + std::to_string(i) + ".part";
        temporary_.descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (temporary_.descriptor >= 0)
            temporary_.name = name;
        else if (errno != EEXIST && errno != EINTR)
            fail("cannot be created");
    }
}

void AtomicFile::reserve() const {
    const auto size = static_cast<off_t>(bytes_);
    if (::fallocate(temporary_.descriptor, 0, 0, size) == 0) return;
    // Where the file system cannot reserve, or a signal will not wait for it, the size is set all the same: a full disk
    // is then known later. posix_fallocate would write every page instead.
    const bool refused = errno != EOPNOTSUPP && errno != EINTR;
    if (refused || ::ftruncate(temporary_.descriptor, size) != 0) fail("cannot be reserved");
}

void AtomicFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
        const ssize_t written = ::pwrite(temporary_.descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("cannot be written");
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
}

// fsync alone could not be stopped for as long as a disk takes for the whole file, so it comes last. A failed write is
// told once only, here or there; that sync_file_range is missing does not matter.
void AtomicFile::flush(const std::function<void()>& poll) const {
    const auto sync = [&](std::uint64_t offset, unsigned flags) {
        if (offset >= bytes_) return;
        const auto start = static_cast<off_t>(offset);
        if (::sync_file_range(temporary_.descriptor, start, off_t{kFlushPiece}, flags) == 0) return;
        if (errno == EIO || errno == ENOSPC || errno == EDQUOT) fail("cannot be flushed to disk");
    };
    for (std::uint64_t offset = 0; offset < kFlushAhead; offset += kFlushPiece) sync(offset, SYNC_FILE_RANGE_WRITE);
    for (std::uint64_t offset = 0; offset < bytes_; offset += kFlushPiece) {
        if (poll) poll();
        sync(offset + kFlushAhead, SYNC_FILE_RANGE_WRITE);
        sync(offset, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
    if (::fsync(temporary_.descriptor) != 0) fail("cannot be flushed to disk");
}

void AtomicFile::commit(const std::function<void()>& poll) {
    flush(poll);
    if (::rename(temporary_.name.c_str(), path_.c_str()) != 0) fail("cannot take its name");
    temporary_.name.clear();
    // The name, too, should outlive a crash; a file system that cannot promise it has the file all the same.
    const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);
    ::close(folder);
}

}  // namespace qwen3moe
