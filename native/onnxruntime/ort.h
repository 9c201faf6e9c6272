// What this library uses of ONNX Runtime's C interface, so that it builds without its header. ONNX Runtime only ever
// appends to its table of functions and to the structure of a custom operator: positions here are those of its public
// documentation (onnxruntime.ai/docs/api/c), and hold from version 1.16 on.
#ifndef TILEWISE_ONNXRUNTIME_ORT_H
#define TILEWISE_ONNXRUNTIME_ORT_H

#include <cstddef>
#include <cstdint>

struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;
struct OrtCustomOp;

namespace tilewise::ort {

constexpr std::uint32_t kOldestStatus = 1;   // tables of all versions begin with the same functions
constexpr std::uint32_t kInterface = 16;     // ONNX Runtime 1.16
enum Code : int { kFail = 1, kInvalidArgument = 2, kRuntimeException = 6 };
enum Element : int { kFloat = 1 };
enum Characteristic : int { kRequired = 0, kVariadic = 2 };

// ONNX Runtime's table of functions, each found by its position.
struct Table;

template <std::size_t kPosition, typename Result, typename... Arguments>
struct Function {
  Result operator()(const Table* table, Arguments... arguments) const {
    using Pointer = Result (*)(Arguments...);
    return reinterpret_cast<const Pointer*>(table)[kPosition](arguments...);
  }
};

template <std::size_t kPosition, typename... Arguments>
using Call = Function<kPosition, OrtStatus*, Arguments...>;

constexpr Function<0, OrtStatus*, Code, const char*> create_status;
constexpr Function<2, const char*, const OrtStatus*> error_message;
constexpr Call<26, const char*, OrtCustomOpDomain**> create_domain;
constexpr Call<27, OrtCustomOpDomain*, const OrtCustomOp*> add_operator;
constexpr Call<28, OrtSessionOptions*, OrtCustomOpDomain*> add_domain;
constexpr Call<51, OrtValue*, void**> tensor_data;
constexpr Call<61, const OrtTensorTypeAndShapeInfo*, std::size_t*> axis_count;
constexpr Call<62, const OrtTensorTypeAndShapeInfo*, std::int64_t*, std::size_t> axes;
constexpr Call<65, const OrtValue*, OrtTensorTypeAndShapeInfo**> tensor_shape;
constexpr Call<87, const OrtKernelInfo*, const char*, char*, std::size_t*> string_attribute;
constexpr Call<88, const OrtKernelContext*, std::size_t*> input_count;
constexpr Call<89, const OrtKernelContext*, std::size_t*> output_count;
constexpr Call<90, const OrtKernelContext*, std::size_t, const OrtValue**> input;
constexpr Call<91, OrtKernelContext*, std::size_t, const std::int64_t*, std::size_t, OrtValue**> output;
constexpr Function<93, void, OrtStatus*> release_status;
constexpr Function<99, void, OrtTensorTypeAndShapeInfo*> release_shape;
constexpr Call<237, const OrtSessionOptions*, const char*, int*> has_entry;
constexpr Call<238, const OrtSessionOptions*, const char*, char*, std::size_t*> entry;

}  // namespace tilewise::ort

struct OrtApiBase {
  const tilewise::ort::Table* (*table)(std::uint32_t version);  // null if this ONNX Runtime is older
  const char* (*version)();
};

// A custom operator as of version 16; ONNX Runtime looks no further than `version` says.
struct OrtCustomOp {
  std::uint32_t version;
  void* (*create)(const OrtCustomOp*, const tilewise::ort::Table*, const OrtKernelInfo*);  // before version 16
  const char* (*name)(const OrtCustomOp*);
  const char* (*provider)(const OrtCustomOp*);  // null: the CPU
  tilewise::ort::Element (*input_type)(const OrtCustomOp*, std::size_t);
  std::size_t (*input_count)(const OrtCustomOp*);
  tilewise::ort::Element (*output_type)(const OrtCustomOp*, std::size_t);
  std::size_t (*output_count)(const OrtCustomOp*);
  void (*compute)(void*, OrtKernelContext*);  // before version 16
  void (*destroy)(void*);
  tilewise::ort::Characteristic (*input_characteristic)(const OrtCustomOp*, std::size_t);
  tilewise::ort::Characteristic (*output_characteristic)(const OrtCustomOp*, std::size_t);
  int (*input_memory)(const OrtCustomOp*, std::size_t);  // 0: the provider's own
  int (*fewest_inputs)(const OrtCustomOp*);
  int (*inputs_alike)(const OrtCustomOp*);
  int (*fewest_outputs)(const OrtCustomOp*);
  int (*outputs_alike)(const OrtCustomOp*);
  OrtStatus* (*try_create)(const OrtCustomOp*, const tilewise::ort::Table*, const OrtKernelInfo*, void**);
  OrtStatus* (*try_compute)(void*, OrtKernelContext*);
};

#endif
