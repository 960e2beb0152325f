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
constexpr std::uint32_t kChooseLargest[] = {
#include "shaders/choose_largest.inc"
};
constexpr std::uint32_t kChooseSums[] = {
#include "shaders/choose_sums.inc"
};
constexpr std::uint32_t kChoose[] = {
#include "shaders/choose.inc"
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
constexpr std::uint32_t kSingleQkv[] = {
#include "shaders/single_qkv.inc"
};
constexpr std::uint32_t kSingleAttention[] = {
#include "shaders/single_attention.inc"
};
constexpr std::uint32_t kSingleOutput[] = {
#include "shaders/single_output.inc"
};
constexpr std::uint32_t kSingleRouter[] = {
#include "shaders/single_router.inc"
};
constexpr std::uint32_t kSingleGateUp[] = {
#include "shaders/single_gate_up.inc"
};
constexpr std::uint32_t kSingleDown[] = {
#include "shaders/single_down.inc"
};
constexpr std::uint32_t kSingleLogits[] = {
#include "shaders/single_logits.inc"
};
// clang-format on

// In the order of Shader.
const ShaderCode kShaders[] = {
    {kSelftest, 1, "selftest"},
    {kLayout, 1, "layout"},
    {kEmbed, 2, "embed"},
    {kNorm, 5, "norm"},
    {kRopeAppend, 7, "rope_append"},
    {kAttention, 7, "attention"},
    {kMerge, 8, "merge"},
    {kTopk, 4, "topk"},
    {kGroup, 4, "group"},
    {kSwiglu, 6, "swiglu"},
    {kCombine, 4, "combine"},
    {kCombineNorm, 8, "combine_norm"},
    {kSelect, 3, "select"},
    {kFinite, 2, "finite"},
    {kChooseLargest, 2, "choose_largest"},
    {kChooseSums, 3, "choose_sums"},
    {kChoose, 4, "choose"},
    {kDotFloats, 7, "dot_floats"},
    {kDotSingles, 7, "dot_singles"},
    {kDotTiles, 7, "dot_tiles"},
    {kSingleQkv, 2, "single_qkv"},
    {kSingleAttention, 10, "single_attention"},
    {kSingleOutput, 2, "single_output"},
    {kSingleRouter, 2, "single_router"},
    {kSingleGateUp, 5, "single_gate_up"},
    {kSingleDown, 4, "single_down"},
    {kSingleLogits, 3, "single_logits"},
};

}  // namespace

const ShaderCode& shader_code(Shader shader) { return kShaders[static_cast<std::size_t>(shader)]; }

}  // namespace qwen3moe::vulkan
