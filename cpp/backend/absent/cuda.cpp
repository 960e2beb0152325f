#include "backend/cuda.h"

#include "errors.h"

namespace qwen3moe::cuda {

Devices devices() { return {{}, "this build has no CUDA; build with -DQWEN3MOE_CUDA=ON and the CUDA toolkit"}; }
std::uint64_t hash(std::uint32_t, const HashRange&) { throw BackendUnavailableError(devices().reason); }
std::unique_ptr<Executor> open(std::uint32_t, const Config&, const Weights&, std::uint32_t, const Poll&) {
    throw BackendUnavailableError(devices().reason);
}

}  // namespace qwen3moe::cuda
