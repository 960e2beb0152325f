// Products of packed int8: by the device's instruction where it is fast, else by plain integers. Both are exact.
// GLSL has no name for OpSDotKHR here; a device of Vulkan 1.3 has the instruction in any case.
layout(constant_id = 2) const bool kDotInstruction = true;

spirv_instruction(capabilities = [6018, 6019], id = 4450)
int packed_dot(int a, int b, spirv_literal uint packed_4x8);

int plain_dot(int a, int b) {
    return (a >> 24) * (b >> 24) + ((a << 8) >> 24) * ((b << 8) >> 24) + ((a << 16) >> 24) * ((b << 16) >> 24) +
           ((a << 24) >> 24) * ((b << 24) >> 24);
}

int dot4(uint a, uint b) { return kDotInstruction ? packed_dot(int(a), int(b), 0u) : plain_dot(int(a), int(b)); }
int dot16(uvec4 a, uvec4 b) { return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w); }
