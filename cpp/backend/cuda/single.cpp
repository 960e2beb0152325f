#include "backend/cuda/single.h"

#include <algorithm>
#include <initializer_list>

#include "model/params.h"

namespace qwen3moe::cuda {
namespace {

bool begins(std::span<const Step> steps, std::initializer_list<Op> ops) {
    return steps.size() >= ops.size() &&
           std::equal(ops.begin(), ops.end(), steps.begin(), [](Op op, const Step& step) { return op == step.op; });
}

bool in_floats(const Weight& w) { return info(static_cast<gguf::Type>(w.type)).block == 1; }

// The launches of a group, each only if those before it began.
struct Launches {
    cudaError_t error = cudaSuccess;

    template <class Launch>
    void then(Launch launch) {
        if (error == cudaSuccess) error = launch();
    }
};

class Groups {
  public:
    Groups(const SingleToken& token, std::span<const Step> steps)
        : t_(token), c_(token.config), b_(token.buffers), steps_(steps) {}

    // norm, qkv, rope_append, attention, output
    bool attention(cudaError_t& error) const {
        const Weight &q = matrix(1, 0), &k = matrix(1, 1), &v = matrix(1, 2), &output = matrix(4, 0);
        if (q.type != k.type || !fits_tiles(q, 1, 1, c_.width) || !fits_tiles(v, 1, 1, c_.width) ||
            !go_together(q, v) || !fits_tiles(output, 1, 1, 0))
            return false;
        Launches l;
        l.then([&] {
            return qkv_single(norm_params(c_, 1), qkv_params(c_, 1), b_.residual, vector(0, 0), q, k, v, b_.q, b_.k,
                              b_.v, t_.stream);
        });
        l.then([&] {
            return attention_single(rope_append_params(c_, 1), b_.q, b_.k, b_.v, vector(2, 0), vector(2, 1), t_.rope,
                                    t_.batch.places, t_.batch.caches, steps_[0].layer, t_.key_blocks, b_.attention_done,
                                    b_.attention.values, t_.stream);
        });
        l.then(
            [&] { return output_single(output_params(c_, 1), output, b_.attention.values, b_.residual, t_.stream); });
        error = l.error;
        return true;
    }

    // norm, router, topk, gate_up, swiglu, down, combine
    bool experts(cudaError_t& error) const {
        const Weight &router = matrix(1, 0), &gate = matrix(3, 0), &up = matrix(3, 1), &down = matrix(5, 0);
        if (!in_floats(router) || gate.type != up.type || !fits_tiles(gate, 2, 1, c_.width + 2 * c_.experts + 32) ||
            !fits_tiles(down, c_.experts_used, c_.experts_used, 0))
            return false;
        Launches l;
        l.then([&] {
            return router_single(norm_params(c_, 1), router_params(c_, 1), b_.residual, vector(0, 0), router,
                                 b_.router_logits, b_.gate_up_read, t_.stream);
        });
        l.then([&] {
            return gate_up_single(norm_params(c_, 1), topk_params(c_, 1), gate_up_params(c_, 1), b_.residual,
                                  vector(0, 0), b_.router_logits, gate, up, b_.expert_ids, b_.expert_weights,
                                  b_.swiglu.values, b_.gate_up_read, t_.stream);
        });
        l.then([&] {
            return down_single(down_params(c_, 1), down, b_.swiglu.values, b_.expert_ids, b_.expert_weights,
                               {b_.gate_up_read, gate_up_blocks(gate_up_params(c_, 1))}, b_.residual, t_.stream);
        });
        error = l.error;
        return true;
    }

    // select, norm, logits
    bool logits(cudaError_t& error) const {
        const Weight& head = matrix(2, 0);
        if (!fits_tiles(head, 1, 1, c_.width)) return false;
        error = logits_single(norm_params(c_, 1), logits_params(c_, 1), b_.residual, vector(1, 0), head, t_.flags,
                              t_.logits, t_.stream);
        return true;
    }

  private:
    const Weight& matrix(std::size_t step, std::size_t i) const { return t_.weights.matrix(steps_[step].weights[i]); }
    const float* vector(std::size_t step, std::size_t i) const { return t_.weights.vector(steps_[step].weights[i]); }

    const SingleToken& t_;
    const Config& c_;
    const Buffers& b_;
    std::span<const Step> steps_;
};

}  // namespace

std::size_t launch_group(const SingleToken& token, std::span<const Step> steps, cudaError_t& error) {
    const Config& c = token.config;
    if (!fits_single({c.width, c.ff, c.experts_used, c.heads / c.kv_heads})) return 0;
    const Groups groups(token, steps);
    if (begins(steps, {Op::norm, Op::qkv, Op::rope_append, Op::attention, Op::output}))
        return groups.attention(error) ? 5 : 0;
    if (begins(steps, {Op::norm, Op::router, Op::topk, Op::gate_up, Op::swiglu, Op::down, Op::combine}))
        return groups.experts(error) ? 7 : 0;
    if (begins(steps, {Op::select, Op::norm, Op::logits})) return groups.logits(error) ? 3 : 0;
    return 0;
}

}  // namespace qwen3moe::cuda
