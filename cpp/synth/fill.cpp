#include "synth/fill.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stop_token>
#include <system_error>
#include <thread>

#include "synth/random_blocks.h"

namespace qwen3moe {
namespace {

constexpr std::uint64_t kPiece = 1 << 20;  // bytes made and written at once, about: a second-level cache holds them
constexpr auto kTick = std::chrono::milliseconds(50);

std::uint64_t key_of(std::uint64_t seed, const std::string& name) {
    std::uint64_t key = random_word(seed, 0);
    for (const char c : name) key = random_word(key, static_cast<unsigned char>(c));
    return key;
}

std::vector<float> norm_weights(const SynthTensor& tensor, std::uint64_t key, std::uint64_t coded) {
    const std::uint64_t channels = tensor.shape[0];
    const auto uniform = [key](std::uint64_t i) { return static_cast<double>(random_word(key, i) >> 11) * 0x1p-53; };
    std::vector<float> weights;
    for (std::uint64_t i = 0; i < channels; ++i)
        weights.push_back(static_cast<float>(tensor.mean * (1 + kNormSpread * (2 * uniform(i) - 1))));
    for (std::uint64_t i = 0; i < tensor.outliers; ++i) {
        const double size = kOutlierLeast + (kOutlierMost - kOutlierLeast) * uniform(channels + 2 * i);
        const std::uint64_t channel = coded + random_word(key, channels + 2 * i + 1) % (channels - coded);
        weights[channel] = static_cast<float>(size);
    }
    return weights;
}

std::uint64_t row_bytes(const SynthTensor& tensor) {
    const gguf::TypeInfo& format = info(tensor.type);
    return tensor.shape[0] / format.block * format.bytes;
}

struct Piece {
    std::size_t tensor;
    std::uint64_t row, rows;
};

class Filling {
  public:
    Filling(const gguf::Output& output, const std::vector<SynthTensor>& tensors, const RouterCode& code,
            std::uint64_t seed)
        : output_(output), tensors_(tensors), seed_(seed), code_(code) {
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const std::uint64_t bytes = row_bytes(tensors[i]);
            const std::uint64_t rows = gguf::data_bytes(tensors[i].type, tensors[i].shape) / bytes;
            const std::uint64_t step = RandomBlocks::kStep;  // rows that are sure to hold a multiple of kStep blocks
            const std::uint64_t most = std::max(step, kPiece / bytes / step * step);
            for (std::uint64_t row = 0; row < rows; row += most) {
                pieces_.push_back({i, row, std::min(most, rows - row)});
                largest_ = std::max(largest_, pieces_.back().rows * bytes);
            }
            total_ += rows * bytes;
        }
    }

    void run(unsigned threads, const Progress& progress) {
        std::vector<std::jthread> workers;  // whose destructors stop and join them
        workers.reserve(threads);
        start(workers, threads);
        for (bool finished = false; !finished;) {
            progress(done_, total_);
            std::unique_lock lock(mutex_);
            finished = changed_.wait_for(lock, kTick, [this] { return active_ == 0 || error_; });
            if (error_) std::rethrow_exception(error_);
        }
        progress(done_, total_);
    }

  private:
    void start(std::vector<std::jthread>& workers, unsigned threads) {
        const std::lock_guard lock(mutex_);
        while (active_ < threads) {
            try {
                workers.emplace_back([this](const std::stop_token& stop) { work(stop); });
            } catch (const std::system_error&) {  // the system gives no more: fewer do as well
                if (active_ == 0) throw;
                return;
            }
            ++active_;
        }
    }

    void work(const std::stop_token& stop) {
        std::exception_ptr error;
        try {
            std::vector<std::byte> buffer(largest_);
            for (std::size_t i = next_++; i < pieces_.size() && !stop.stop_requested(); i = next_++)
                fill(pieces_[i], buffer);
        } catch (...) {
            error = std::current_exception();
        }
        const std::lock_guard lock(mutex_);
        --active_;
        if (error) error_ = error;
        changed_.notify_all();
    }

    void fill(const Piece& piece, std::span<std::byte> buffer) {
        const SynthTensor& tensor = tensors_[piece.tensor];
        const std::uint64_t key = key_of(seed_, tensor.name), bytes = row_bytes(tensor);
        const std::span<std::byte> data = buffer.first(piece.rows * bytes);
        if (tensor.deviation == 0) {
            const std::vector<float> weights =
                norm_weights(tensor, key, tensor.outliers ? code_.channels() : 0);  // one piece: norms are short
            std::ranges::copy(std::as_bytes(std::span(weights)), data.begin());
        } else {
            const std::uint64_t row_blocks = tensor.shape[0] / info(tensor.type).block;
            RandomBlocks(tensor.type, tensor.deviation, key).fill(piece.row * row_blocks, data);
            if (tensor.code != Code::none)
                for (std::uint64_t i = 0; i < piece.rows; ++i)
                    write_code(tensor, key, piece.row + i, data.subspan(i * bytes, bytes));
        }
        output_.write(piece.tensor, piece.row * bytes, data);
        done_ += data.size();
    }

    void write_code(const SynthTensor& tensor, std::uint64_t key, std::uint64_t row, std::span<std::byte> data) const {
        if (tensor.code == Code::embedding) code_.mark_embedding(tensor.type, tensor.deviation, row, key, data);
        if (tensor.code == Code::router) code_.mark_router(tensor.type, tensor.gain, tensor.layer, row, data);
        if (tensor.code == Code::output && row % tensor.shape[1] < code_.channels())
            std::ranges::fill(data, std::byte{0});  // of every type: a scale of zero
    }

    const gguf::Output& output_;
    const std::vector<SynthTensor>& tensors_;
    const std::uint64_t seed_;
    const RouterCode code_;
    std::vector<Piece> pieces_;
    std::uint64_t largest_ = 0;  // bytes of a piece
    std::uint64_t total_ = 0;

    std::atomic<std::size_t> next_ = 0;  // piece
    std::atomic<std::uint64_t> done_ = 0;
    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    unsigned active_ = 0;
    std::exception_ptr error_;
};

}  // namespace

void synth_fill(const gguf::Output& output, const std::vector<SynthTensor>& tensors, const RouterCode& code,
                std::uint64_t seed, unsigned threads, const Progress& progress) {
    Filling(output, tensors, code, seed).run(threads, progress);
}

}  // namespace qwen3moe
