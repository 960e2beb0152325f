// Writes every kind of metadata value and two tensors, back to front; abandons the file where a second argument is
// given.
#include <vector>

#include "gguf/writer.h"

int main(int count, char** arguments) {
    using namespace qwen3moe::gguf;
    Writer writer;
    writer.add("u8", std::uint8_t{200});
    writer.add("i8", std::int8_t{-100});
    writer.add("u16", std::uint16_t{60000});
    writer.add("i16", std::int16_t{-30000});
    writer.add("u32", std::uint32_t{4000000000});
    writer.add("i32", std::int32_t{-2000000000});
    writer.add("u64", std::uint64_t{1} << 63);
    writer.add("i64", -(std::int64_t{1} << 62));
    writer.add("f32", 0.1F);
    writer.add("f64", 0.1);
    writer.add("yes", true);
    writer.add("no", false);
    writer.add("text", "Größe");
    writer.add("empty", "");
    writer.add("u8s", std::vector<std::uint8_t>{1, 255});
    writer.add("i64s", std::vector<std::int64_t>{-1, 1});
    writer.add("f32s", std::vector<float>{0.5F, -0.5F});
    writer.add("bools", std::vector<bool>{true, false, true});
    writer.add("texts", std::vector<std::string>{"a", "", "ccc"});
    writer.add("none", std::vector<std::int32_t>{});

    const std::uint64_t odd[] = {3}, matrix[] = {32, 2};  // 12 bytes, so that the second needs padding
    const std::size_t first = writer.add_tensor("first", Type::F32, odd);
    const std::size_t second = writer.add_tensor("second", Type::Q8_0, matrix);

    Output output(writer, arguments[1]);
    const std::vector<std::byte> block(34, std::byte{1});
    output.write(second, 34, block);
    const float numbers[] = {1, 2, 3};
    output.write(first, 0, std::as_bytes(std::span(numbers)));
    if (count == 2) output.commit();
}
