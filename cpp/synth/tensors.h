// The tensors of a synthetic model: names, types, shapes, and the scale of random weights that makes it behave.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/mix.h"
#include "gguf/types.h"
#include "synth/presets.h"

namespace qwen3moe {

// A tensor's part in the routers' code (router_code.h).
enum class Code {
    none,
    embedding,  // its rows carry the code
    router,     // its rows read it
    output,     // its rows for the channels of the code are zero
};

struct SynthTensor {
    std::string name;
    gguf::Type type;
    std::vector<std::uint64_t> shape;  // fastest first
    double mean;                       // of norms, but for their outliers; 0 for matrices
    double deviation;                  // of matrices; 0 for norms
    std::uint64_t outliers;            // large channels of a norm
    Code code = Code::none;
    std::uint64_t layer = 0;  // of a router
    double gain = 0;          // of a router: the weight on its channel of the code
};

// Weights of a norm lie within a quarter of their mean, but for outliers, which make some channels large, as in real
// models.
inline constexpr double kNormSpread = 0.25;
inline constexpr double kOutlierLeast = 8, kOutlierMost = 20;

// All tensors in file order. Throws ArgumentError where a type's blocks do not fit a tensor's rows.
std::vector<SynthTensor> synth_tensors(const Shape& shape, const Mix& mix);

}  // namespace qwen3moe
