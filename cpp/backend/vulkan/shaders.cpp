#include "backend/vulkan/shaders.h"

namespace qwen3moe::vulkan {
namespace {

// clang-format off
constexpr std::uint32_t kSelftest[] = {
#include "shaders/selftest.inc"
};
constexpr std::uint32_t kLayout[] = {
#include "shaders/layout.inc"
};
constexpr std::uint32_t kEmbed[] = {
#include "shaders/embed.inc"
};
constexpr std::uint32_t kNorm[] = {
#include "shaders/norm.inc"
};
constexpr std::uint32_t kRopeAppend[] = {
#include "shaders/rope_append.inc"
};
constexpr std::uint32_t kAttention[] = {
#include "shaders/attention.inc"
};
constexpr std::uint32_t kMerge[] = {
#include "shaders/merge.inc"
};
constexpr std::uint32_t kTopk[] = {
#include "shaders/topk.inc"
};
constexpr std::uint32_t kGroup[] = {
#include "shaders/group.inc"
};
constexpr std::uint32_t kSwiglu[] = {
#include "shaders/swiglu.inc"
};
constexpr std::uint32_t kCombine[] = {
#include "shaders/combine.inc"
};
constexpr std::uint32_t kCombineNorm[] = {
#include "shaders/combine_norm.inc"
};
constexpr std::uint32_t kSelect[] = {
#include "shaders/select.inc"
};
constexpr std::uint32_t kFinite[] = {
#include "shaders/finite.inc"
};
constexpr std::uint32_t kDotFloats[] = {
#include "shaders/dot_floats.inc"
};
constexpr std::uint32_t kDotSingles[] = {
#include "shaders/dot_singles.inc"
};
constexpr std::uint32_t kDotTiles[] = {
#include "shaders/dot_tiles.inc"
};
// clang-format on

// In the order of Shader.
const ShaderCode kShaders[] = {
    {kSelftest, 1}, {kLayout, 1}, {kEmbed, 2},     {kNorm, 5},       {kRopeAppend, 7}, {kAttention, 7},
    {kMerge, 8},    {kTopk, 4},   {kGroup, 4},     {kSwiglu, 6},     {kCombine, 4},    {kCombineNorm, 8},
    {kSelect, 3},   {kFinite, 2}, {kDotFloats, 7}, {kDotSingles, 7}, {kDotTiles, 7},
};

}  // namespace

const ShaderCode& shader_code(Shader shader) { return kShaders[static_cast<std::size_t>(shader)]; }

}  // namespace qwen3moe::vulkan
