// Python's hold on models and sessions: closing one lets go of it; a later use raises.
#pragma once

#include <memory>

#include "errors.h"
#include "model/session.h"

namespace qwen3moe::bindings {

class ModelHandle {
  public:
    explicit ModelHandle(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    std::shared_ptr<const Model> get() const {
        if (!model_) throw SessionError("the model is closed");
        return model_;
    }
    void close() { model_.reset(); }

  private:
    std::shared_ptr<const Model> model_;
};

}  // namespace qwen3moe::bindings
