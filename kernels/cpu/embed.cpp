// Rows of the embedding become the residual.
#include "cpu/step_functions.h"
#include "cpu/unpack.h"
#include "gguf/types.h"

namespace qwen3moe::cpu::QM_SIMD {
namespace {

template <class Format>
void super_row(const std::uint8_t* p, std::uint32_t n, float* out) {
    for (std::uint32_t i = 0; i < n; i += 256, p += Format::kBytes, out += 256) {
        Block b;
        Format::unpack(p, b);
        for (int j = 0; j < 256; j++) {
            if constexpr (Format::kMin)
                out[j] = qm_weight_min(b.d, b.scale[j / 16], b.q[j] - Format::kBias, b.dmin, b.minimum[j / 16]);
            else
                out[j] = qm_weight(b.d, b.scale[j / 16], b.q[j] - Format::kBias);
        }
    }
}

template <class Format>
void small_row(const std::uint8_t* p, std::uint32_t n, float* out) {
    for (std::uint32_t i = 0; i < n; i += 32, p += Format::kBytes, out += 32) {
        Block b;
        Format::unpack(p, b);
        for (int j = 0; j < 32; j++) {
            if constexpr (Format::kMin)
                out[j] = qm_add(qm_mul(b.d, float(b.q[j] - Format::kBias)), b.dmin);
            else
                out[j] = qm_mul(b.d, float(b.q[j] - Format::kBias));
        }
    }
}

template <class Format>
void float_row(const std::uint8_t* p, std::uint32_t n, float* out) {
    for (std::uint32_t i = 0; i < n; i++) out[i] = Format::load(p + std::size_t(i) * Format::kBytes);
}

}  // namespace

void dequantise(const Weight& w, std::uint32_t row, float* out) {
    using gguf::Type;
    const std::uint8_t* p = w.data + row * w.row_bytes;
    const std::uint32_t n = w.columns;
    switch (static_cast<Type>(w.type)) {
        case Type::F32:
            return float_row<F32>(p, n, out);
        case Type::F16:
            return float_row<F16>(p, n, out);
        case Type::BF16:
            return float_row<BF16>(p, n, out);
        case Type::Q8_0:
            return small_row<Q80>(p, n, out);
        case Type::Q4_0:
            return small_row<Q40>(p, n, out);
        case Type::Q4_1:
            return small_row<Q41>(p, n, out);
        case Type::Q5_0:
            return small_row<Q50>(p, n, out);
        case Type::Q5_1:
            return small_row<Q51>(p, n, out);
        case Type::IQ4_NL:
            return small_row<IQ4NL>(p, n, out);
        case Type::Q2_K:
            return super_row<Q2K>(p, n, out);
        case Type::Q3_K:
            return super_row<Q3K>(p, n, out);
        case Type::Q4_K:
            return super_row<Q4K>(p, n, out);
        case Type::Q5_K:
            return super_row<Q5K>(p, n, out);
        case Type::Q6_K:
            return super_row<Q6K>(p, n, out);
        case Type::IQ4_XS:
            return super_row<IQ4XS>(p, n, out);
    }
}

void embed(const EmbedParams& p, const Weight& w, const std::int32_t* tokens, float* residual, Range range) {
    for (std::uint32_t t = range.first; t < range.last; t++) {
        float* row = residual + std::size_t(t) * p.width;
        dequantise(w, static_cast<std::uint32_t>(tokens[t]), row);
        for (std::uint32_t i = 0; i < p.width; i++) row[i] = qm_settle(row[i]);
    }
}

}  // namespace qwen3moe::cpu::QM_SIMD
