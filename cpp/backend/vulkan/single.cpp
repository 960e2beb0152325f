#include "backend/vulkan/single.h"

#include <algorithm>
#include <initializer_list>

#include "gguf/types.h"
#include "model/params.h"

namespace qwen3moe::vulkan {
namespace {

bool begins(std::span<const Step> steps, std::initializer_list<Op> ops) {
    return steps.size() >= ops.size() &&
           std::equal(ops.begin(), ops.end(), steps.begin(), [](Op op, const Step& step) { return op == step.op; });
}

bool in_blocks(const Weight& w) { return gguf::info(static_cast<gguf::Type>(w.type)).block > 1; }

std::uint32_t blocks_of(std::uint32_t columns) { return (columns + 255) / 256; }

// One matrix and where its product goes.
struct Projection {
    const Weight& w;
    std::uint32_t rows;
    Region to;
};

class StepGroups {
  public:
    StepGroups(Recording& work, const SingleToken& token, std::span<const Step> steps)
        : work_(work), t_(token), c_(token.config), b_(token.buffers), steps_(steps) {}

    // norm, qkv, rope_append, attention, output
    bool attention() const {
        const Weight &q = matrix(1, 0), &k = matrix(1, 1), &v = matrix(1, 2), &output = matrix(4, 0);
        if (!in_blocks(q) || !in_blocks(k) || !in_blocks(v) || !in_blocks(output)) return false;
        const Projection all[] = {{q, c_.q_rows(), b_.q}, {k, c_.kv_rows(), b_.k}, {v, c_.kv_rows(), b_.v}};
        for (std::size_t first = 0, end = 0; first < 3; first = end) {
            while (end < 3 && all[end].w.type == all[first].w.type) end++;
            const auto of = matrices(std::span(all).subspan(first, end - first), c_.width);
            work_.dispatch(key(Shader::single_qkv, all[first].w, blocks_of(c_.width)),
                           {in(b_.residual), out(spanning(all[first].to, all[end - 1].to))},
                           NormMatricesConstants{norm(0), of}, grid(of.tiles));
        }
        attend();
        const Projection sum[] = {{output, c_.width, b_.residual}};
        const auto of = matrices(sum, c_.q_rows());
        work_.dispatch(key(Shader::single_output, output, blocks_of(c_.q_rows())),
                       {in(b_.attention.values), out(b_.residual)}, of, grid(of.tiles));
        return true;
    }

    // norm, router, topk, gate_up, swiglu, down, combine
    bool experts() const {
        const Weight &router = matrix(1, 0), &gate = matrix(3, 0), &up = matrix(3, 1), &down = matrix(5, 0);
        if (in_blocks(router) || !in_blocks(gate) || gate.type != up.type || !in_blocks(down)) return false;
        work_.dispatch({.shader = Shader::single_router, .type = router.type}, {in(b_.residual), out(b_.router_logits)},
                       RouterConstants{norm(0), router.address}, {c_.experts});
        const std::uint32_t blocks = blocks_of(c_.width), used = c_.experts_used;
        PipelineKey gate_up = key(Shader::single_gate_up, gate, blocks);
        gate_up.experts = c_.experts;
        std::uint32_t tiles = used * tiles_of(2 * c_.ff, blocks);
        work_.dispatch(
            gate_up,
            {in(b_.residual), in(b_.router_logits), out(b_.expert_ids), out(b_.expert_weights), out(b_.swiglu.values)},
            GateUpConstants{norm(0), topk_params(c_, 1), gate.address, up.address, c_.ff, tiles}, grid(tiles));
        const std::uint32_t items = used * blocks_of(c_.ff);
        tiles = tiles_of(c_.width, items);
        work_.dispatch(key(Shader::single_down, down, items),
                       {in(b_.swiglu.values), in(b_.expert_ids), in(b_.expert_weights), out(b_.residual)},
                       DownConstants{down_params(c_, 1), down.address, tiles}, grid(tiles));
        return true;
    }

    // select, norm, logits
    bool logits() const {
        const Weight& head = matrix(2, 0);
        if (!in_blocks(head)) return false;
        const Projection all[] = {{head, c_.vocab, b_.logits}};
        const auto of = matrices(all, c_.width);
        work_.dispatch(key(Shader::single_logits, head, blocks_of(c_.width)),
                       {in(b_.residual), out(b_.logits), out(b_.batch.flags)}, NormMatricesConstants{norm(1), of},
                       grid(of.tiles));
        return true;
    }

  private:
    void attend() const {
        const std::uint32_t count = t_.key_blocks.count;
        const std::uint32_t heads = heads_together(work_.style(), attention_params(c_, 1), count);
        const RopeAppendConstants rope{
            rope_append_params(c_, 1), vector(2, 0), vector(2, 1), t_.rope, steps_[0].layer, 1};
        work_.dispatch({.shader = Shader::single_attention, .head_dim = c_.head_dim, .heads = heads},
                       {in(b_.q), in(b_.k), in(b_.v), in(b_.batch.places), in(b_.batch.caches),
                        out(t_.key_blocks.values), out(t_.key_blocks.maximum), out(t_.key_blocks.total),
                        out(b_.attention_done), out(b_.attention.values), out(kCaches)},
                       SingleAttentionConstants{rope, count}, {count, c_.heads / heads});
    }

    const Weight& matrix(std::size_t step, std::size_t i) const { return t_.weights.matrix(steps_[step].weights[i]); }
    Address vector(std::size_t step, std::size_t i) const { return t_.weights.vector(steps_[step].weights[i]); }
    NormConstants norm(std::size_t step) const { return {norm_params(c_, 1), vector(step, 0)}; }

    std::uint32_t groups() const { return work_.style().threads / 8; }
    PipelineKey key(Shader shader, const Weight& w, std::uint32_t blocks) const {
        return {.shader = shader, .type = w.type, .span = qm_span(blocks, groups()), .blocks = blocks};
    }
    std::uint32_t tiles_of(std::uint32_t rows, std::uint32_t items) const {
        const std::uint32_t own = qm_tile_rows(items, groups());
        return (rows + own - 1) / own;
    }
    // As many tiles for each workgroup, and all at work at the same time.
    Groups grid(std::uint32_t tiles) const {
        const std::uint32_t most = work_.style().workgroups, each = (tiles + most - 1) / most;
        return {(tiles + each - 1) / each};
    }

    MatricesParams matrices(std::span<const Projection> all, std::uint32_t columns) const {
        MatricesParams of{};
        of.columns = columns;
        for (const Projection& p : all) {
            of.jobs[of.count++] = {p.w.address, p.rows, static_cast<uint>((p.to.offset - all[0].to.offset) / 4)};
            of.tiles += tiles_of(p.rows, blocks_of(columns));
        }
        return of;
    }

    Recording& work_;
    const SingleToken& t_;
    const Config& c_;
    const Buffers& b_;
    std::span<const Step> steps_;
};

// Bytes that the largest of these shaders shares: activations, what becomes of products, and the choice of experts.
std::uint64_t shared_bytes(const Config& c, std::uint32_t threads) {
    const std::uint64_t blocks =
        std::max({blocks_of(c.width), blocks_of(c.q_rows()), c.experts_used * blocks_of(c.ff)});
    const std::uint64_t activations = blocks * (512 + 64 + 4 + 32);
    const std::uint64_t products = QM_SET_ROWS * (threads + threads / 8) * 16 + QM_SET_ROWS * threads / 8 * 4;
    const std::uint64_t trees = 2 * threads * 4 + 1024;
    return activations + products + trees + 12 * (c.experts + 3) + 8 * (QM_MOST_USED + blocks);
}

}  // namespace

std::size_t record_group(Recording& work, const SingleToken& token, std::span<const Step> steps) {
    const Config& c = token.config;
    if (c.experts_used > QM_MOST_USED || shared_bytes(c, work.style().threads) > token.shared) return 0;
    const StepGroups groups(work, token, steps);
    if (begins(steps, {Op::norm, Op::qkv, Op::rope_append, Op::attention, Op::output}))
        return groups.attention() ? 5 : 0;
    if (begins(steps, {Op::norm, Op::router, Op::topk, Op::gate_up, Op::swiglu, Op::down, Op::combine}))
        return groups.experts() ? 7 : 0;
    if (begins(steps, {Op::select, Op::norm, Op::logits})) return groups.logits() ? 3 : 0;
    return 0;
}

}  // namespace qwen3moe::vulkan
