// Q, K and V of every token: three matrices as one list of rows.
#include "cpu/dot.h"
#include "cpu/step_functions.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

// The part of `range` that falls into [first, first + count), as rows of that matrix.
QM_FN Range part(Range range, std::uint32_t first, std::uint32_t count) {
    const std::uint32_t a = range.first > first ? range.first - first : 0;
    const std::uint32_t b = range.last > first ? range.last - first : 0;
    return {a < count ? a : count, b < count ? b : count};
}

}  // namespace

void qkv(const QkvParams& p, const Weight& q, const Weight& k, const Weight& v, const Rows& in, float* q_out,
         float* k_out, float* v_out, Range range) {
    const Inputs all{nullptr, p.tokens, 1};
    dot_rows(q, part(range, 0, p.q_rows), in, all, {q_out, p.q_rows, false});
    dot_rows(k, part(range, p.q_rows, p.kv_rows), in, all, {k_out, p.kv_rows, false});
    dot_rows(v, part(range, p.q_rows + p.kv_rows, p.kv_rows), in, all, {v_out, p.kv_rows, false});
}

}  // namespace qwen3moe::cpu::QM_SIMD
