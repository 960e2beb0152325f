// Where a value that is not finite came from: the batch is run again with every stage captured, and the first bad one
// is named. Costs nothing until it is needed.
#pragma once

#include "model/model.h"

namespace qwen3moe {

// Throws NumericalError with layer, stage, row and element; returns if every stage was finite this time.
void name_first_nonfinite(const Model& model, const Batch& batch, const Poll& poll);

}  // namespace qwen3moe
