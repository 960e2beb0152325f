// _core.arithmetic: the arithmetic by itself, for the tests and for whoever wants to check it.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "backend/cpu_steps.h"
#include "backend/selftest.h"
#include "bindings/bindings.h"
#include "errors.h"
#include "gguf/types.h"
#include "shared/functions.h"

namespace py = pybind11;

namespace qwen3moe::bindings {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Words = py::array_t<std::uint32_t, py::array::c_style>;

// What `bytes` or a contiguous array holds.
struct Bytes {
    explicit Bytes(const py::buffer& buffer) : info(buffer.request()) {
        py::ssize_t stride = info.itemsize;
        for (py::ssize_t i = info.ndim; i-- > 0; stride *= info.shape[static_cast<std::size_t>(i)])
            if (info.strides[static_cast<std::size_t>(i)] != stride) throw ArgumentError("the data is not contiguous");
    }
    const std::uint8_t* data() const { return static_cast<const std::uint8_t*>(info.ptr); }
    std::size_t size() const { return static_cast<std::size_t>(info.size * info.itemsize); }
    py::buffer_info info;
};

std::string text(std::size_t n) { return std::to_string(n); }

std::uint32_t function_number(const std::string& name) {
    for (std::uint32_t f = 0; f < QM_FUNCTION_COUNT; f++)
        if (name == kFunctions[f].name) return f;
    throw ArgumentError("the arithmetic has no function '" + name + "'; functions() lists them");
}

std::uint32_t unary_number(const std::string& name) {
    const std::uint32_t number = function_number(name);
    if (number < QM_UNARY_COUNT) return number;
    throw ArgumentError("'" + name + "' takes " + text(kFunctions[number].arity) + " arguments; use call()");
}

const gguf::TypeInfo& type_of(const std::string& name) {
    std::string known;
    for (const gguf::TypeInfo& info : gguf::kTypes) {
        if (name == info.name) return info;
        known += (known.empty() ? "" : ", ") + std::string(info.name);
    }
    throw ArgumentError("'" + name + "' is no weight type; expected one of " + known);
}

cpu::Weight weight(const gguf::TypeInfo& type, const Bytes& data, std::size_t columns) {
    if (columns == 0 || columns % type.block != 0 || columns > (1u << 30))
        throw ArgumentError(text(columns) + " columns of " + std::string(type.name) + "; expected a multiple of " +
                            text(type.block));
    return {data.data(), static_cast<std::uint32_t>(type.type), static_cast<std::uint32_t>(columns),
            columns / type.block * type.bytes};
}

std::vector<std::string> simd() {
    std::vector<std::string> names;
    for (const cpu::Steps* steps : usable_cpu_steps()) names.emplace_back(steps->name);
    return names;
}

std::vector<std::pair<std::string, std::uint32_t>> functions() {
    std::vector<std::pair<std::string, std::uint32_t>> all;
    for (const FunctionInfo& f : kFunctions) all.emplace_back(f.name, f.arity);
    return all;
}

Words call(const std::string& name, const Words& arguments, const std::string& variant) {
    const std::uint32_t number = function_number(name);
    const std::uint32_t arity = kFunctions[number].arity;
    if (arguments.ndim() != 2 || arguments.shape(1) != static_cast<py::ssize_t>(arity))
        throw ArgumentError("'" + name + "' takes an array [n, " + text(arity) + "] of its arguments' bits");
    const cpu::Steps& steps = cpu_steps(variant);
    Words out(arguments.shape(0));
    const std::uint32_t* in = arguments.data();
    std::uint32_t* result = out.mutable_data();
    const auto n = static_cast<std::size_t>(arguments.shape(0));
    py::gil_scoped_release release;
    steps.call(number, in, result, n);
    return out;
}

Words unary(const std::string& name, const py::array& x, const std::string& variant) {
    const std::uint32_t number = unary_number(name);
    const bool is_float = py::isinstance<py::array_t<float>>(x);
    if (!is_float && !py::isinstance<py::array_t<std::uint32_t>>(x))
        throw ArgumentError("expected a float32 or uint32 array; found " + py::str(x.dtype()).cast<std::string>());
    const cpu::Steps& steps = cpu_steps(variant);
    const py::array in = py::array::ensure(x, py::array::c_style);
    Words out(std::vector<py::ssize_t>(in.shape(), in.shape() + in.ndim()));
    const auto* bits = static_cast<const std::uint32_t*>(in.data());
    std::uint32_t* result = out.mutable_data();
    const auto n = static_cast<std::size_t>(in.size());
    py::gil_scoped_release release;
    steps.call(number, bits, result, n);
    return out;
}

std::uint64_t unary_hash(const std::string& name, std::uint64_t first, std::uint64_t count, const std::string& device) {
    constexpr std::uint64_t all = std::uint64_t(1) << 32;
    const std::uint32_t number = unary_number(name);
    if (first > all || count > all - first)
        throw ArgumentError("inputs " + text(first) + " to " + text(first + count) + "; expected at most 2^32");
    py::gil_scoped_release release;
    return hash(device, {number, first, count});
}

Words selftest_arguments(const std::string& name) {
    const std::uint32_t number = function_number(name);
    const std::uint32_t arity = kFunctions[number].arity;
    Words out({QM_SELFTEST_ITEMS, arity});
    for (std::uint32_t k = 0; k < QM_SELFTEST_ITEMS; k++) {
        const QmArguments x = qm_selftest_arguments(number, k);
        std::memcpy(out.mutable_data() + k * arity, &x, arity * sizeof(x.a));
    }
    return out;
}

py::dict selftest_dict(const std::string& device) {
    SelftestResult result;
    {
        py::gil_scoped_release release;
        result = selftest(device);
    }
    py::dict d;
    d["device"] = result.device;
    d["name"] = result.name;
    d["ok"] = result.ok();
    d["hash"] = result.hash;
    d["expected"] = kSelftestHash;
    d["reason"] = result.reason;
    return d;
}

std::size_t blocks_of(std::size_t columns) { return (columns + 255) / 256; }

std::tuple<py::array_t<std::int16_t>, Floats, py::array_t<std::int32_t>> quantise(const Floats& x,
                                                                                  const std::string& variant) {
    if (x.ndim() != 1 || x.size() > (1 << 30)) throw ArgumentError("expected a float32 array of one dimension");
    const auto n = static_cast<std::uint32_t>(x.size());
    std::vector<cpu::X16Block> blocks(blocks_of(n));
    cpu_steps(variant).quantise(x.data(), n, blocks.data());
    const auto count = static_cast<py::ssize_t>(blocks.size());
    py::array_t<std::int16_t> values(count * 256);
    Floats scales(count);
    py::array_t<std::int32_t> sums({count, py::ssize_t(16)});
    for (py::ssize_t i = 0; i < count; i++) {
        const cpu::X16Block& block = blocks[static_cast<std::size_t>(i)];
        for (py::ssize_t j = 0; j < 256; j++)
            values.mutable_data()[i * 256 + j] = static_cast<std::int16_t>(256 * block.high[j] + block.low[j]);
        std::copy(block.sums, block.sums + 16, sums.mutable_data() + i * 16);
        scales.mutable_data()[i] = block.scale;
    }
    return {values, scales, sums};
}

Floats dequantise(const std::string& type_name, const py::buffer& buffer, std::size_t columns,
                  const std::string& variant) {
    const Bytes data(buffer);
    const cpu::Weight w = weight(type_of(type_name), data, columns);
    if (data.size() % w.row_bytes != 0)
        throw ArgumentError(text(data.size()) + " bytes; expected a multiple of " + text(w.row_bytes) + ", a row of " +
                            text(columns) + " " + type_name);
    const std::size_t rows = data.size() / w.row_bytes;
    Floats out({rows, columns});
    for (std::size_t r = 0; r < rows; r++)
        cpu_steps(variant).dequantise(w, static_cast<std::uint32_t>(r), out.mutable_data() + r * columns);
    return out;
}

Floats dot(const std::string& type_name, const py::buffer& buffer, std::size_t rows, std::size_t columns,
           const Floats& activations, const std::string& variant) {
    const Bytes data(buffer);
    const cpu::Weight w = weight(type_of(type_name), data, columns);
    if (rows > (1u << 30) || data.size() != rows * w.row_bytes)
        throw ArgumentError(text(data.size()) + " bytes; expected " + text(rows * w.row_bytes) + " for " + text(rows) +
                            " rows of " + text(columns) + " " + type_name);
    if (activations.ndim() != 2 || static_cast<std::size_t>(activations.shape(1)) != columns)
        throw ArgumentError("expected activations [n, " + text(columns) + "]");
    const cpu::Steps& steps = cpu_steps(variant);
    const auto n = static_cast<std::size_t>(activations.shape(0));
    Floats out({n, rows});
    const float* x = activations.data();
    float* result = out.mutable_data();
    py::gil_scoped_release release;
    std::vector<cpu::X16Block> blocks(n * blocks_of(columns));
    for (std::size_t t = 0; t < n; t++)
        steps.quantise(x + t * columns, w.columns, blocks.data() + t * blocks_of(columns));
    steps.dot(w, {0, static_cast<std::uint32_t>(rows)}, {x, blocks.data(), w.columns}, static_cast<std::uint32_t>(n),
              result, rows);
    return out;
}

}  // namespace

void bind_arithmetic(py::module_& m) {
    py::module_ a = m.def_submodule("arithmetic", "The exact arithmetic by itself; values go in and out as bits.");
    const py::arg_v portable("simd", "portable");
    a.def("simd", simd, "Instruction sets this machine can run, plainest first.");
    a.def("functions", functions, "(name, number of arguments) of every function.");
    a.def("call", call, py::arg("name"), py::arg("arguments"), portable,
          "Any function; arguments and results as bits, NaN as 0x7fc00000.");
    a.def("unary", unary, py::arg("name"), py::arg("x"), portable,
          "A function of one argument over an array of floats or bits, to bits.");
    a.def("unary_hash", unary_hash, py::arg("name"), py::arg("first") = 0, py::arg("count") = std::uint64_t(1) << 32,
          py::arg("device") = "cpu:portable",
          "The hash of a function's results on inputs first .. first + count, those where it is defined.");
    a.def("selftest_arguments", selftest_arguments, py::arg("name"), "What the self-test calls a function with.");
    a.def("selftest", selftest_dict, py::arg("device"), "Runs the self-test on a device.");
    a.def("quantise", quantise, py::arg("x"), portable, "X16: (int16 values, scale per 256, sums of each 16).");
    a.def("dequantise", dequantise, py::arg("type_name"), py::arg("data"), py::arg("columns"), portable,
          "Rows of weights as floats.");
    a.def("dot", dot, py::arg("type_name"), py::arg("data"), py::arg("rows"), py::arg("columns"),
          py::arg("activations"), portable, "Weights [rows, columns] times activations [n, columns]: [n, rows].");
}

}  // namespace qwen3moe::bindings
