// Opens each file named on standard input, as a container, with `model` as a model or with `view` from its bytes, and
// prints how it was refused.
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/weights.h"

using namespace qwen3moe;

namespace {

void open(const std::string& path, std::string_view level) {
    if (level == "view") {
        std::ifstream file(path, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        gguf::File::view(std::as_bytes(std::span(bytes)), path);
        return;
    }
    const auto file = gguf::File::open(path);
    if (level == "model") read_weights(*file, read_config(*file));
}

}  // namespace

int main(int, char** arguments) {
    for (std::string path; std::getline(std::cin, path);) {
        std::string message = "opened";
        try {
            open(path, arguments[1]);
        } catch (const std::exception& error) {
            message = error.what();
        }
        std::cout << message << std::endl;
    }
}
