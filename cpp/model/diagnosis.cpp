#include "model/diagnosis.h"

#include <cmath>
#include <string>
#include <vector>

#include "errors.h"

namespace qwen3moe {
namespace {

class FirstNonfinite final : public CaptureSink {
  public:
    void put(const Stage& stage, std::uint32_t layer, const void* data, std::size_t rows, std::size_t bytes) override {
        if (stage.buffer == Buffer::expert_ids) return;
        const auto* values = static_cast<const float*>(data);
        const std::size_t width = bytes / sizeof(float);
        for (std::size_t i = 0; i < rows * width; i++) {
            if (std::isfinite(values[i])) continue;
            const std::string where = layer == kNoLayer ? "" : "layer " + std::to_string(layer) + ", ";
            throw NumericalError("a value is not finite: " + where + "stage " + std::string(stage.name) + ", row " +
                                 std::to_string(i / width) + " of the batch, element " + std::to_string(i % width) +
                                 ". The weights that this step reads are the first suspects");
        }
    }
};

}  // namespace

void name_first_nonfinite(const Model& model, const Batch& batch, const Poll& poll) {
    const Plan traced = with_captures(model.plan, [](std::string_view, std::uint32_t) { return true; });
    FirstNonfinite sink;
    std::vector<float> own(batch.choices ? batch.wanted.size() * model.config.vocab : 0);
    float* logits = batch.choices ? own.data() : batch.logits;
    model.executor->run(traced, {.slices = batch.slices, .wanted = batch.wanted, .logits = logits, .sink = &sink},
                        poll);
}

}  // namespace qwen3moe
