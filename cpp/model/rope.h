// The angles of every position and dimension, made once on the host from double add, multiply, divide and sqrt only:
// no library function whose last bit could differ between machines.
#pragma once

#include <cstdint>
#include <vector>

namespace qwen3moe {

// [positions][head_dim]: the cosines of the first half of the dimensions, then their sines.
std::vector<float> rope_table(double base, std::uint32_t head_dim, std::uint32_t positions);

}  // namespace qwen3moe
