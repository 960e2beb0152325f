#include "backend/vulkan/spirv.h"

namespace qwen3moe::vulkan {
namespace {

constexpr std::uint32_t kEntryPoint = 15, kExecutionMode = 16, kCapability = 17;

struct Mode {
    bool wanted;
    std::uint32_t capability;
    std::uint32_t mode;
};

std::uint32_t head(std::uint32_t words, std::uint32_t opcode) { return words << 16 | opcode; }

}  // namespace

// Capabilities come first in a module, execution modes right after its entry point.
std::vector<std::uint32_t> with_float_modes(std::span<const std::uint32_t> spirv, FloatModes modes) {
    const Mode all[] = {{modes.keep_special, 4466, 4461}, {modes.round_to_even, 4467, 4462}};
    std::vector<std::uint32_t> out(spirv.begin(), spirv.begin() + 5);
    for (const Mode& mode : all)
        if (mode.wanted) out.insert(out.end(), {head(2, kCapability), mode.capability});
    for (std::size_t at = 5; at < spirv.size();) {
        const auto instruction = spirv.subspan(at, spirv[at] >> 16);
        out.insert(out.end(), instruction.begin(), instruction.end());
        if ((instruction[0] & 0xffff) == kEntryPoint)
            for (const Mode& mode : all)
                if (mode.wanted) out.insert(out.end(), {head(4, kExecutionMode), instruction[2], mode.mode, 32});
        at += instruction.size();
    }
    return out;
}

}  // namespace qwen3moe::vulkan
