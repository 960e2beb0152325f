#include "backend/vulkan/dot.h"

#include <algorithm>
#include <span>

namespace qwen3moe::vulkan {
namespace {

bool is_float(std::uint32_t type) { return gguf::info(static_cast<gguf::Type>(type)).block == 1; }

// Groups of slots: tiles of one expert's, or single ones.
std::uint32_t tiles_of(const Product& p) {
    const std::uint32_t slots = p.tokens * p.used;
    if (!takes_tiles(p.tokens)) return slots;
    return p.experts ? slots / QM_TILE + std::min(p.expert_count, slots) : (slots + QM_TILE - 1) / QM_TILE;
}

// Jobs of one type, whose products are bound from the first to the last.
void dot_jobs(Recording& work, const Product& p, std::span<const Job> jobs, const Region& nothing) {
    const bool floats = is_float(jobs[0].w.type), tiled = takes_tiles(p.tokens);
    const Shader shader = floats ? Shader::dot_floats : (tiled ? Shader::dot_tiles : Shader::dot_singles);
    const std::uint32_t groups = work.style().threads / 8;
    const std::uint32_t single_rows = floats ? 1 : qm_tile_rows(p.in.blocks(), groups);
    const std::uint32_t tile_rows = !tiled ? single_rows : (floats ? QM_FLOAT_ROWS : QM_TILE_ROWS);
    const Region to = spanning(jobs.front().to, jobs.back().to);
    DotParams params{};
    params.columns = p.in.columns;
    params.slots = p.tokens * p.used;
    params.slots_per_row = p.slots_per_row;
    params.first_row = p.first_row;
    params.tiles = tiles_of(p);
    params.ways = (p.add ? QM_DOT_ADD : 0) | (tiled ? QM_DOT_TILED : 0) | (p.experts ? QM_DOT_EXPERTS : 0);
    for (const Job& job : jobs) {
        params.jobs[params.count++] = {job.w.address, job.rows, static_cast<uint>((job.to.offset - to.offset) / 4)};
        params.row_tiles += (job.rows + tile_rows - 1) / tile_rows;
    }
    const Region& chosen = !p.experts ? nothing : (tiled ? p.experts->sorted.order : p.experts->expert_ids);
    const Region& tiles = p.experts && tiled ? p.experts->sorted.tiles : nothing;
    const std::uint32_t span = shader == Shader::dot_singles ? qm_span(p.in.blocks(), groups) : 1;
    work.dispatch({.shader = shader, .type = jobs[0].w.type, .span = span},
                  {in(floats ? p.in.values : nothing), in(floats ? nothing : p.in.digits),
                   in(floats ? nothing : p.in.sums), in(floats ? nothing : p.in.scale), in(chosen), in(tiles), out(to)},
                  params, {params.row_tiles, params.tiles, tiled && floats ? QM_TILE / QM_FLOAT_SLOTS : 1});
}

}  // namespace

void dot_rows(Recording& work, const Product& p, const Region& nothing) {
    const std::span<const Job> jobs(p.jobs);
    for (std::size_t first = 0, end = 0; first < jobs.size(); first = end) {
        while (end < jobs.size() && jobs[end].w.type == jobs[first].w.type) end++;
        dot_jobs(work, p, jobs.subspan(first, end - first), nothing);
    }
}

}  // namespace qwen3moe::vulkan
