// The activations that a workgroup works on, as X16 in shared memory. Every workgroup makes its own, which takes less
// time than a dispatch that makes them for all.
//
// The shaders of this folder are short, with loops where they could be unrolled: a layer's code has to stay in the
// caches for instructions, since a dispatch lasts no longer than it takes to fetch a few thousand of them.
#include "vulkan/threads.glsl"
#include "vulkan/x16.glsl"

layout(constant_id = 5) const uint kBlocks = 8u;  // of 256 values
const uint kAtATime = kThreads / 64u;              // blocks: 64 threads make one, four values each
const uint kRounds = (kBlocks + kAtATime - 1u) / kAtATime;

shared uvec4 input_digits[32u * kBlocks];  // [block][high, low][run]
shared int input_sums[16u * kBlocks];
shared float input_scale[kBlocks];
shared uint input_most[8u * kBlocks];  // in eight places, where threads meet less often than in one

uvec4 x_digits(uint item, uint digit, uint run) { return input_digits[32u * item + 16u * digit + run]; }
int x_sum(uint item, uint run) { return input_sums[16u * item + run]; }
float x_scale(uint item) { return input_scale[item]; }

// Which four values are this thread's in a round. Blocks may be past the last.
uint input_block(uint round) { return kAtATime * round + gl_LocalInvocationIndex / 64u; }
uint input_quad() { return gl_LocalInvocationIndex & 63u; }

// Then a barrier, find_most of every round, a barrier, make_block of every round, a barrier. Values past a row's end
// are zeros.
void clear_input() {
    for (uint i = gl_LocalInvocationIndex; i < 16u * kBlocks; i += kThreads) {
        input_sums[i] = 0;
        if (i < 8u * kBlocks) input_most[i] = 0u;
    }
}

void find_most(uint block, vec4 x) {
    if (block < kBlocks) atomicMax(input_most[8u * block + (input_quad() & 7u)], most_of(x));
}

void make_block(uint block, vec4 x) {
    if (block >= kBlocks) return;
    uint most = 0u, quad = input_quad();
    [[unroll]] for (uint i = 0u; i < 8u; i++) most = max(most, input_most[8u * block + i]);
    ivec4 q = quantised(x, qm_x16_inverse(most));
    atomicAdd(input_sums[16u * block + quad / 4u], q.x + q.y + q.z + q.w);
    input_digits[32u * block + quad / 4u][quad & 3u] = pack4(high_digits(q));
    input_digits[32u * block + 16u + quad / 4u][quad & 3u] = pack4(low_digits(q));
    if (quad == 0u) input_scale[block] = qm_x16_scale(most);
}
