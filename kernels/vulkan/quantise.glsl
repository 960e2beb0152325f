// Rows of activations as floats and as X16 in blocks of 256, the last padded with zeros. Bound from ACTIVATIONS on.
// 64 threads make a block, four values each; a workgroup makes kQuantised blocks at a time.
#include "vulkan/threads.glsl"
#include "vulkan/x16.glsl"

const uint kQuantised = kThreads / 64u;

layout(binding = ACTIVATIONS) writeonly buffer OutValues { float out_values[]; };      // [rows][columns]
layout(binding = ACTIVATIONS + 1) writeonly buffer OutDigits { uint out_digits[]; };  // [rows][blocks][high, low][256]
layout(binding = ACTIVATIONS + 2) writeonly buffer OutSums { int out_sums[]; };       // [rows][blocks][16], each of 16
layout(binding = ACTIVATIONS + 3) writeonly buffer OutScale { float out_scale[]; };   // [rows][blocks]

shared uint quantise_most[kQuantised];
shared int quantise_sums[16u * kQuantised];

// This thread's block of these, and its place in it.
uint quantise_block() { return gl_LocalInvocationIndex / 64u; }
uint quantise_column() { return 4u * (gl_LocalInvocationIndex & 63u); }

// x: this thread's four values of block `block` of row `row`, zero past the row's end. Not `inside`: of no block.
void make_block(vec4 x, bool inside, uint columns, uint row, uint block) {
    uint b = quantise_block(), t = gl_LocalInvocationIndex & 63u;
    uint at = row * ((columns + 255u) / 256u) + block;
    uint column = 256u * block + 4u * t;
    if (inside)
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (column + i < columns) out_values[row * columns + column + i] = x[i];

    if (t == 0u) quantise_most[b] = 0u;
    if (t < 16u) quantise_sums[16u * b + t] = 0;
    barrier();
    atomicMax(quantise_most[b], most_of(x));
    barrier();
    uint most = quantise_most[b];
    ivec4 q = quantised(x, qm_x16_inverse(most));
    atomicAdd(quantise_sums[16u * b + t / 4u], q.x + q.y + q.z + q.w);
    if (inside) {
        out_digits[at * 128u + t] = pack4(high_digits(q));
        out_digits[at * 128u + 64u + t] = pack4(low_digits(q));
        if (t == 0u) out_scale[at] = qm_x16_scale(most);
    }
    barrier();
    if (inside && t < 16u) out_sums[at * 16u + t] = quantise_sums[16u * b + t];
    barrier();
}
