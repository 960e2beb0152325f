#include "model/model.h"

namespace qwen3moe {

std::shared_ptr<const Model> open_model(const std::string& path, const std::string& device,
                                        const OpenOptions& options) {
    auto model = std::make_shared<Model>();
    model->device = device;
    model->file = gguf::File::open(path);
    model->config = read_config(*model->file);
    model->weights = read_weights(*model->file, model->config);
    model->plan = make_plan(model->weights);
    model->executor = open_device(device, model->config, model->weights, options);
    model->file->check_intact();
    return model;
}

}  // namespace qwen3moe
