// Rows of weights times rows of activations, for every weight type: what qkv, output, experts and logits are made of.
#pragma once

#include "cpu/variant.h"

namespace qwen3moe::cpu::QM_SIMD {

// Which rows of activations to use: all of a batch in order, or the slots of one expert.
struct Inputs {
    const std::uint32_t* slots;  // null: 0, 1, 2, ...
    std::uint32_t count;
    std::uint32_t slots_per_row;  // a slot reads row slot / slots_per_row

    std::uint32_t output(std::uint32_t i) const { return slots ? slots[i] : i; }
    std::uint32_t row(std::uint32_t i) const { return output(i) / slots_per_row; }
};

// Where products go: row `output` of a float matrix, column = row of the weight.
struct Outputs {
    float* values;
    std::size_t stride;
    bool add;  // to what is there, as the residual wants it

    void put(std::uint32_t output, std::uint32_t row, float value) const {
        float& place = values[output * stride + row];
        place = add ? qm_add(place, value) : value;
    }

    // A hint that the columns `rows` will be put soon: those of an expert's tokens are pages apart.
    void expect(std::uint32_t output, Range rows) const {
        const auto* place = reinterpret_cast<const char*>(values + output * stride + rows.first);
        for (std::size_t i = 0; i < (rows.last - rows.first) * sizeof(float); i += 64) __builtin_prefetch(place + i, 1);
    }

    // The columns `rows`, at most kMost, their values side by side.
    template <std::uint32_t kMost>
    void put_run(std::uint32_t output, Range rows, const float (&run)[kMost]) const {
        float* __restrict place = values + output * stride + rows.first;
        const std::uint32_t n = rows.last - rows.first;
        if (n < kMost)
            for (std::uint32_t i = 0; i < n; i++) put(output, rows.first + i, run[i]);
        else if (add)
            for (std::uint32_t i = 0; i < kMost; i++) place[i] = qm_add(place[i], run[i]);
        else
            for (std::uint32_t i = 0; i < kMost; i++) place[i] = run[i];
    }
};

void dot_rows(const Weight&, Range rows, const Rows& in, const Inputs&, const Outputs&);

}  // namespace qwen3moe::cpu::QM_SIMD
