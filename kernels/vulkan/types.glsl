// The type of a weight, as a GGUF file numbers it, is known when a pipeline is made: the other types' code falls away.
layout(constant_id = 0) const uint kType = 12u;

const uint F32 = 0u, F16 = 1u, Q4_0 = 2u, Q4_1 = 3u, Q5_0 = 6u, Q5_1 = 7u, Q8_0 = 8u, Q2_K = 10u, Q3_K = 11u,
           Q4_K = 12u, Q5_K = 13u, Q6_K = 14u, IQ4_NL = 20u, IQ4_XS = 23u, BF16 = 30u;

const bool kFloats = kType == F32 || kType == F16 || kType == BF16;
// Super-blocks of 256 with integer scales; the others have a float scale for every 32.
const bool kSuper =
    kType == Q2_K || kType == Q3_K || kType == Q4_K || kType == Q5_K || kType == Q6_K || kType == IQ4_XS;
const bool kMin = kType == Q4_1 || kType == Q5_1 || kType == Q2_K || kType == Q4_K || kType == Q5_K;
const bool kPairs = kType == Q4_K || kType == Q5_K || kType == IQ4_XS;  // two runs of 16 share a scale
