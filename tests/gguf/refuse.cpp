// Opens each file named on standard input, as a container or with `model` as a model, and prints how it was refused.
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/weights.h"

using namespace qwen3moe;

int main(int, char** arguments) {
    const bool as_model = std::string_view(arguments[1]) == "model";
    for (std::string path; std::getline(std::cin, path);) {
        std::string message = "opened";
        try {
            const auto file = gguf::File::open(path);
            if (as_model) read_weights(*file, read_config(*file));
        } catch (const std::exception& error) {
            message = error.what();
        }
        std::cout << message << std::endl;
    }
}
