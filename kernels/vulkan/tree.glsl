// Float sums over a row, in the one order that the contract gives them, by a workgroup of 256 threads.

shared float tree_first[256];
shared float tree_second[16];

float tree16(float p[16]) {
    return qm_sum8(qm_add(p[0], p[8]), qm_add(p[1], p[9]), qm_add(p[2], p[10]), qm_add(p[3], p[11]),
                   qm_add(p[4], p[12]), qm_add(p[5], p[13]), qm_add(p[6], p[14]), qm_add(p[7], p[15]));
}

// The halving tree over 256 partial sums, one of each thread: its first four steps by 16 threads, its last four by all.
float tree256(float partial) {
    uint t = gl_LocalInvocationIndex;
    float p[16];
    tree_first[t] = partial;
    barrier();
    if (t < 16u) {
        [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = tree_first[t + 16u * j];
        tree_second[t] = tree16(p);
    }
    barrier();
    [[unroll]] for (uint j = 0u; j < 16u; j++) p[j] = tree_second[j];
    return tree16(p);
}
