#include "gguf/page_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace qwen3moe::gguf::page_guard {

// The handler may take no lock, so each slot is a few lock-free atomics. `version` is odd while `begin` and `end`
// change.
struct Slot {
    std::atomic<bool> taken{false};
    std::atomic<bool> torn{false};
    std::atomic<std::uint32_t> version{0};
    std::atomic<std::uintptr_t> begin{0};
    std::atomic<std::uintptr_t> end{0};
};

namespace {

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr std::size_t kSlots = 4096;  // more than the descriptors a process usually has
Slot slots[kSlots];
std::uintptr_t page_bytes;
struct sigaction previous;

void set_range(Slot& slot, std::uintptr_t begin, std::uintptr_t end) {
    slot.version.fetch_add(1);
    slot.begin.store(begin);
    slot.end.store(end);
    slot.version.fetch_add(1);
}

// The slot that watches `address`, and the end of its range. A slot caught while it changes belongs to another mapping:
// the one that is being read stays as it is until its readers are done.
Slot* find(std::uintptr_t address, std::uintptr_t& end) {
    for (Slot& slot : slots) {
        const std::uint32_t version = slot.version.load();
        const std::uintptr_t begin = slot.begin.load();
        end = slot.end.load();
        const bool stable = version % 2 == 0 && slot.version.load() == version;
        if (stable && begin <= address && address < end) return &slot;
    }
    return nullptr;
}

// Zeros from the failed page to the end of the range: the file is condemned anyway, and one call then serves all of the
// pages that a truncation took. mmap is a bare system call here, hence safe in a handler.
bool patch(std::uintptr_t address) {
    std::uintptr_t end;
    Slot* const slot = find(address, end);
    if (!slot) return false;
    slot->torn.store(true);
    const std::uintptr_t page = address - address % page_bytes;
    return mmap(reinterpret_cast<void*>(page), end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
           MAP_FAILED;
}

void pass_on(int signal, siginfo_t* info, void* context) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
        // The default ends the process: at once when the access is repeated, or by the signal sent anew.
        struct sigaction standard{};
        standard.sa_handler = SIG_DFL;
        sigaction(signal, &standard, nullptr);
        if (info->si_code <= 0) raise(signal);
    }
}

void handle(int signal, siginfo_t* info, void* context) {
    const int saved = errno;
    // A code of zero or less: sent by a process, which gives no address.
    const bool patched = info->si_code > 0 && patch(reinterpret_cast<std::uintptr_t>(info->si_addr));
    if (!patched) pass_on(signal, info, context);
    errno = saved;
}

void install() {
    page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction ours{};
    ours.sa_sigaction = handle;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, nullptr, &previous);  // first, so that the handler never finds it unset
    sigaction(SIGBUS, &ours, nullptr);
}

}  // namespace

Slot* reserve() {
    static std::once_flag once;
    std::call_once(once, install);
    for (Slot& slot : slots)
        if (!slot.taken.exchange(true)) return &slot;
    return nullptr;
}

void watch(Slot* slot, const std::byte* begin, std::size_t size) {
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    set_range(*slot, address, address + size);
}

bool torn(const Slot* slot) { return slot->torn.load(); }

void release(Slot* slot) {
    set_range(*slot, 0, 0);
    slot->torn.store(false);
    slot->taken.store(false);
}

}  // namespace qwen3moe::gguf::page_guard
