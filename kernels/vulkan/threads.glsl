// The size of a workgroup, known when a pipeline is made: 256 threads on a GPU; 64 where a processor plays one, which
// takes them in turns and pays for each at every barrier.
#ifndef QWEN3MOE_VULKAN_THREADS
#define QWEN3MOE_VULKAN_THREADS

layout(constant_id = 4) const uint kThreads = 256u;
layout(local_size_x_id = 4) in;

const uint kShare = 256u / kThreads;  // of 256 items, those of one thread: its number, and every kThreads-th after it

#endif
