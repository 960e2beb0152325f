// Opens the namespace of the instruction set this file is being compiled for: QM_SIMD is its name.
#pragma once

#include "cpu/steps.h"

#ifndef QM_SIMD
#define QM_SIMD portable
#endif

namespace qwen3moe::cpu::QM_SIMD {}
