// A small network (tests/network.h) as the stream that tilewise-measure reads, all arrays as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "tests/network.h"

namespace tilewise::testing {

class TextWriter {
 public:
  std::string text(const Network& network) {
    out_.precision(std::numeric_limits<float>::max_digits10);
    out_ << "plan batch=" << network.batch << " arena_bytes=" << network.arena_bytes << '\n';
    for (const TensorSpec& t : network.tensors) {
      constexpr const char* kDtypes[] = {"uint8", "int16", "bfloat16", "float32"};
      out_ << "tensor height=" << t.height << " width=" << t.width << " channels=" << t.channels
           << " stride=" << t.stride << " offset=" << t.offset
           << " dtype=" << kDtypes[static_cast<int>(t.dtype)] << " step=" << t.grid.step
           << " factor=" << t.grid.factor << " low=" << t.grid.low << " high=" << t.grid.high << '\n';
    }
    for (const OpCall& call : network.calls) write(call);
    out_ << "end\n";
    return out_.str();
  }

 private:
  using Extents = std::vector<std::int64_t>;

  template <typename T>
  void array(const char* of, const char* dtype, const std::vector<T>& values, const Extents& shape) {
    out_ << "array of=" << of << " dtype=" << dtype << " shape=";
    for (std::size_t i = 0; i < shape.size(); ++i) out_ << (i ? "," : "") << shape[i];
    out_ << '\n';
    out_.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(T)));
    out_ << '\n';
  }
  void floats(const char* of, const std::vector<float>& values, std::int64_t rows = 0) {
    if (values.empty()) return;
    const auto count = static_cast<std::int64_t>(values.size());
    array(of, "float32", values, rows ? Extents{rows, count / rows} : Extents{count});
  }
  void integers(const char* of, const std::vector<std::int64_t>& values, bool pairs) {
    const auto count = static_cast<std::int64_t>(values.size());
    array(of, "int64", values, pairs ? Extents{count / 2, 2} : Extents{count});
  }
  void weights(const char* of, const OpCall& call) {
    switch (call.input) {
      case Dtype::kUint8:
        return array(of, "int8", call.weight_int8, call.shape);
      case Dtype::kInt16:
        return array(of, "int16", call.weight_int16, call.shape);
      case Dtype::kBf16:
        return array(of, "uint16", call.weight_bf16, call.shape);
      case Dtype::kFloat32:
        return array(of, "float32", call.weight_f32, call.shape);
    }
  }

  void begin(const char* op, const OpCall& call) { out_ << op << " name=" << call.name; }
  void wiring(const OpCall& call) { out_ << " x=" << call.x << " y=" << call.y; }
  // What convolutions and element-wise operations share.
  void ending(const OpCall& call) {
    out_ << " residual=";
    call.residual == -1 ? out_ << "none" : out_ << call.residual;
    out_ << " act_low=" << call.low << " act_high=" << call.high;
  }

  void direct(const OpCall& call) {
    out_ << " stride=" << call.stride << ',' << call.stride << " padding=" << call.pad_top << ','
         << call.pad_left << " dilation=" << call.dilation << ',' << call.dilation << " unfused=" << call.flag
         << '\n';
    weights("weight", call);
    floats("scale", call.scale);
    floats("bias", call.bias);
  }

  void fast(const OpCall& call) {
    out_ << " stride=" << call.stride << " padding=" << call.pad_top << ',' << call.pad_left
         << " algorithm=test integer=" << call.flag << " v_limit=" << call.v_limit
         << " fraction_bits=" << call.fraction_bits << " block=0\n";
    weights("u", call);
    floats("bt", call.bt, call.n);
    floats("at", call.at, call.m);
    if (!call.mult.empty()) {
      const auto count = static_cast<std::int64_t>(call.mult.size());
      array("mult", "int32", call.mult, {count / call.columns, call.columns});
    }
    floats("scale", call.scale, call.shape[0]);
    floats("bias", call.bias);
  }

  // What both kinds of exact convolution share.
  void integers(const OpCall& call) {
    out_ << " padding=" << call.pad_top << ',' << call.pad_left << " algorithm=test block=" << call.number;
    if (call.kind == Kind::kResidue) out_ << " m=" << call.m;
    out_ << '\n';
    weights("weight", call);
    floats("scale", call.scale);
    floats("bias", call.bias);
    if (call.kind == Kind::kResidue) return integers("moduli", call.rows, false);
    const ExactParts parts = exact_parts(call);
    matrix("at", parts.at);
    matrix("g", parts.g);
    matrix("bt", parts.bt);
  }
  void matrix(const char* of, const TensorView<const std::int32_t, 2>& values) {
    array(of, "int32", std::vector<std::int32_t>(values.data, values.data + element_count(values.shape)),
          {values.shape[0], values.shape[1]});
  }

  void write(const OpCall& call) {
    constexpr const char* kOps[] = {"import_nchw", "export_nchw",   "direct", "fast",
                                    "exact",       "residue",       "pool",   "eltwise",
                                    "gather",      "pixel_shuffle", "resize"};
    begin(kOps[static_cast<int>(call.kind)], call);
    if (call.kind == Kind::kImport) {
      out_ << " y=" << call.y << '\n';
      return;
    }
    if (call.kind == Kind::kExport) {
      out_ << " x=" << call.x << '\n';
      return;
    }
    wiring(call);
    switch (call.kind) {
      case Kind::kDirect:
        ending(call);
        return direct(call);
      case Kind::kFast:
        ending(call);
        return fast(call);
      case Kind::kExact:
      case Kind::kResidue:
        ending(call);
        return integers(call);
      case Kind::kEltwise:
        ending(call);
        out_ << '\n';
        floats("scale", call.scale);
        return floats("bias", call.bias);
      case Kind::kPool:
        out_ << " maximum=" << call.flag << " divisor=" << call.number << '\n';
        break;
      case Kind::kGather:
        out_ << " clear=" << call.flag << " first=" << call.number << '\n';
        break;
      case Kind::kPixelShuffle:
        out_ << " factor=" << call.number << '\n';
        return;
      default:
        out_ << '\n';
    }
    integers("rows", call.rows, call.kind != Kind::kGather);
    integers("cols", call.cols, call.kind != Kind::kGather);
    floats("row_weights", call.row_weights);
    floats("col_weights", call.col_weights);
  }

  std::ostringstream out_;
};

inline std::string text(const Network& network) { return TextWriter().text(network); }

}  // namespace tilewise::testing
