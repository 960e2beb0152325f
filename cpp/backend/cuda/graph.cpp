#include "backend/cuda/graph.h"

namespace qwen3moe::cuda {

Graph::~Graph() {
    if (graph_) cudaGraphExecDestroy(graph_);
}

void Graph::record(cudaStream_t stream, const std::function<void()>& launches) {
    cudaGraph_t recorded = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a graph");
    try {
        launches();
    } catch (...) {
        cudaStreamEndCapture(stream, &recorded);
        if (recorded) cudaGraphDestroy(recorded);
        throw;
    }
    check(cudaStreamEndCapture(stream, &recorded), "ending a graph");
    const cudaError_t error = cudaGraphInstantiate(&graph_, recorded, 0);
    cudaGraphDestroy(recorded);
    check(error, "making a graph");
}

void Graph::launch(cudaStream_t stream) const { check(cudaGraphLaunch(graph_, stream), "starting a graph"); }

}  // namespace qwen3moe::cuda
