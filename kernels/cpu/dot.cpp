#include "cpu/dot.h"

#include "cpu/dot_floats.h"
#include "cpu/dot_lanes.h"
#include "cpu/products.h"
#include "gguf/types.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

inline constexpr std::uint32_t kTokens = 32;  // activations that share a tile of unpacked weights
inline constexpr std::uint32_t kWeights = 4;  // rows of weights unpacked at a time

// Rows are short and several are read side by side, which hardware does not foresee. A hint past the end does no harm.
QM_FN void prefetch_near(const std::uint8_t* data, int bytes) {
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch(data + i);
}

template <class Format>
QM_FN float term(const Operand& w, const Digits& digits) {
    const X16Block& x = digits.block;
    const Sums sums = block_sums<Format>(w, digits);
    if constexpr (Format::kMin)
        return qm_term_min(w.block.d, w.block.dmin, x.scale, sums.high, sums.low, minimum_sum(w, x));
    else
        return qm_term(w.block.d, x.scale, sums.high, sums.low);
}

// 256-value formats: unpack a tile of weights once, use it for a tile of tokens.
template <class Format>
QM_FN void dot_super(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    const std::uint32_t blocks = w.columns / 256;
    for (std::uint32_t t0 = 0; t0 < inputs.count; t0 += kTokens) {
        const std::uint32_t tokens = inputs.count - t0 < kTokens ? inputs.count - t0 : kTokens;
        for (std::uint32_t r0 = rows.first; r0 < rows.last; r0 += kWeights) {
            const std::uint32_t count = rows.last - r0 < kWeights ? rows.last - r0 : kWeights;
            float sum[kTokens][kWeights] = {};
            for (std::uint32_t block = 0; block < blocks; block++) {
                Operand operand[kWeights];
                for (std::uint32_t r = 0; r < count; r++) {
                    const std::uint8_t* data = w.data + (r0 + r) * w.row_bytes + block * Format::kBytes;
                    prefetch_near(data + kWeights * w.row_bytes, Format::kBytes);
                    prepare<Format>(data, operand[r]);
                }
                for (std::uint32_t t = 0; t < tokens; t++) {
                    const Digits x(in.blocks[std::size_t(inputs.row(t0 + t)) * blocks + block]);
                    for (std::uint32_t r = 0; r < count; r++)
                        sum[t][r] = qm_add(sum[t][r], term<Format>(operand[r], x));
                }
            }
            for (std::uint32_t t = 0; t < tokens; t++)
                for (std::uint32_t r = 0; r < count; r++) out.put(inputs.output(t0 + t), r0 + r, sum[t][r]);
        }
    }
}

#if defined(QM_LANES)
constexpr auto dot_q4k = dot_lanes<Q4KLanes>;
constexpr auto dot_q5k = dot_lanes<Q5KLanes>;
constexpr auto dot_q6k = dot_lanes<Q6KLanes>;
#else
constexpr auto dot_q4k = dot_super<Q4K>;
constexpr auto dot_q5k = dot_super<Q5K>;
constexpr auto dot_q6k = dot_super<Q6K>;
#endif

// 32-value formats: eight groups make a term; groups past the row's end are zero.
template <class Format>
QM_FN void dot_small(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    const std::uint32_t groups = w.columns / 32;
    const std::uint32_t blocks = in.blocks_per_row();
    for (std::uint32_t r = rows.first; r < rows.last; r++) {
        for (std::uint32_t t0 = 0; t0 < inputs.count; t0 += kTokens) {
            const std::uint32_t tokens = inputs.count - t0 < kTokens ? inputs.count - t0 : kTokens;
            float sum[kTokens] = {};
            for (std::uint32_t block = 0; block < blocks; block++) {
                const std::uint32_t here = groups - 8 * block < 8 ? groups - 8 * block : 8;
                float f[kTokens][8] = {};
                for (std::uint32_t g = 0; g < here; g++) {
                    Block b;
                    Format::unpack(w.data + r * w.row_bytes + std::size_t(8 * block + g) * Format::kBytes, b);
                    for (std::uint32_t t = 0; t < tokens; t++) {
                        const X16Block& x = in.blocks[std::size_t(inputs.row(t0 + t)) * blocks + block];
                        const Sums sums = group_sums<Format>(b, x, g);
                        if constexpr (Format::kMin)
                            f[t][g] = qm_group_min(b.d, b.dmin, sums.high, sums.low, x.sums32[g]);
                        else
                            f[t][g] = qm_group(b.d, sums.high, sums.low);
                    }
                }
                for (std::uint32_t t = 0; t < tokens; t++) {
                    const X16Block& x = in.blocks[std::size_t(inputs.row(t0 + t)) * blocks + block];
                    const float* p = f[t];
                    const float F = qm_sum8(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
                    sum[t] = qm_add(sum[t], qm_term32(x.scale, F));
                }
            }
            for (std::uint32_t t = 0; t < tokens; t++) out.put(inputs.output(t0 + t), r, sum[t]);
        }
    }
}

}  // namespace

void dot_rows(const Weight& w, Range rows, const Rows& in, const Inputs& inputs, const Outputs& out) {
    using gguf::Type;
    switch (static_cast<Type>(w.type)) {
        case Type::F32:
            return dot_floats<F32>(w, rows, in, inputs, out);
        case Type::F16:
            return dot_floats<F16>(w, rows, in, inputs, out);
        case Type::BF16:
            return dot_floats<BF16>(w, rows, in, inputs, out);
        case Type::Q8_0:
            return dot_small<Q80>(w, rows, in, inputs, out);
        case Type::Q4_0:
            return dot_small<Q40>(w, rows, in, inputs, out);
        case Type::Q4_1:
            return dot_small<Q41>(w, rows, in, inputs, out);
        case Type::Q5_0:
            return dot_small<Q50>(w, rows, in, inputs, out);
        case Type::Q5_1:
            return dot_small<Q51>(w, rows, in, inputs, out);
        case Type::IQ4_NL:
            return dot_small<IQ4NL>(w, rows, in, inputs, out);
        case Type::Q2_K:
            return dot_super<Q2K>(w, rows, in, inputs, out);
        case Type::Q3_K:
            return dot_super<Q3K>(w, rows, in, inputs, out);
        case Type::Q4_K:
            return dot_q4k(w, rows, in, inputs, out);
        case Type::Q5_K:
            return dot_q5k(w, rows, in, inputs, out);
        case Type::Q6_K:
            return dot_q6k(w, rows, in, inputs, out);
        case Type::IQ4_XS:
            return dot_super<IQ4XS>(w, rows, in, inputs, out);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
