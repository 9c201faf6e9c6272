// What a plan refuses, and in which words.
#include "engine/plan.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/check.h"
#include "tests/check.h"
#include "tests/network.h"

namespace tilewise::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

// The first call of a kind in the network.
OpCall& first(Network& network, Kind kind) {
  for (OpCall& call : network.calls) {
    if (call.kind == kind) return call;
  }
  refuse("no such call");
}

// The network with one thing changed is refused with a text that contains `part`.
void refused(const std::string& part, const std::function<void(Network&)>& change) {
  Network network = small_network(2, false);
  change(network);
  try {
    build(network);
  } catch (const std::invalid_argument& error) {
    CHECK(std::string(error.what()).find(part) != std::string::npos, part + ": " + error.what());
    return;
  }
  CHECK(false, part);
}

// The same for a call of one kind.
void refused(Kind kind, const std::string& part, const std::function<void(OpCall&)>& change) {
  refused(part, [&](Network& network) { change(first(network, kind)); });
}

void test_plan_and_tensors() {
  refused("plan: batch is 0, must be 1..65536", [](Network& n) { n.batch = 0; });
  refused("plan: arena_bytes is", [](Network& n) { n.arena_bytes = kHuge; });
  refused("tensor 1: height is 65537, must be 1..65536", [](Network& n) { n.tensors[1].height = 65537; });
  refused("tensor 1: channels is 0", [](Network& n) { n.tensors[1].channels = 0; });
  refused("tensor 1: stride is 48, must be 32", [](Network& n) { n.tensors[1].stride = 48; });
  refused("tensor 1: stride is 16, must be 32", [](Network& n) { n.tensors[1].stride = 16; });
  refused("tensor 1: offset is 32, must be a multiple of 64", [](Network& n) { n.tensors[1].offset = 32; });
  refused("must lie within the", [](Network& n) { n.tensors[1].offset = -64; });
  refused("must lie within the", [](Network& n) { n.tensors[1].offset = n.arena_bytes / 64 * 64; });
  refused("must lie within the", [](Network& n) { n.tensors[1].offset = kHuge / 64 * 64; });
  refused("must lie within the", [](Network& n) { n.tensors[1].height = n.tensors[1].width = 65536; });
  refused("low is -32768, must be -32767..0", [](Network& n) {
    n.tensors[1].dtype = Dtype::kInt16;
    n.tensors[1].grid.low = -32768;
  });
  refused("tensor 1: step is nan", [](Network& n) { n.tensors[1].grid.step = kNan; });
  refused("tensor 1: factor is 0", [](Network& n) { n.tensors[1].grid.factor = 0; });
  refused("tensor 1: low is 1, must be -128..0", [](Network& n) { n.tensors[1].grid.low = 1; });
  refused("tensor 1: high is 255, must be 1..127", [](Network& n) { n.tensors[1].grid.low = -1; });
}

void test_order() {
  refused("op1: x is tensor 0, which nothing has written yet",
          [](Network& n) { n.calls.erase(n.calls.begin()); });
  refused("op0: import_nchw is operation 1, must be the first", [](Network& n) {
    n.calls.insert(n.calls.begin(), n.calls[0]);
    n.calls[1].y = 1;
  });
  refused("the plan ended with export_nchw", [](Network& n) { n.calls.push_back(n.calls[1]); });
  refused("op1: the number of tensor x is -1, must be 0..", [](Network& n) { n.calls[1].x = -1; });
  refused("op1: the number of tensor y is 99, must be 0..", [](Network& n) { n.calls[1].y = 99; });
  refused("op1: the number of tensor residual is -2", [](Network& n) { n.calls[1].residual = -2; });
  refused("op1: y is tensor 0, which is written already", [](Network& n) { n.calls[1].y = 0; });
  refused(
      "op2: the residual has height, width, channels and stride 13, 11, 3, 4, must be those of y: 13, 11, "
      "20, 32",
      [](Network& n) { n.calls[2].residual = 0; });
  refused("op1: y is tensor 1, which shares memory with tensor 0",
          [](Network& n) { n.tensors[1].offset = 0; });
  refused("whose memory another tensor has taken over", [](Network& n) { n.calls.back().x = 1; });
  refused("op2: y is tensor 2 with a stride of 20, must be a multiple of 16",
          [](Network& n) { n.tensors[2].stride = 20; });
  refused("the name of an operation has 0 bytes", [](Network& n) { n.calls[1].name = ""; });
  refused("the name of an operation has 257 bytes",
          [](Network& n) { n.calls[0].name = std::string(257, 'a'); });
}

void test_direct() {
  const auto bad = [](const std::string& part, auto change) { refused(Kind::kDirect, part, change); };
  bad("op1: the number of output channels of weight is 3, must be 20",
      [](OpCall& c) { c.shape = {3, 3, 3, 20}; });
  bad("op1: the number of input channels of weight is 9, must be 3",
      [](OpCall& c) { c.shape = {20, 3, 1, 9}; });
  bad("op1: the vertical stride is 0, must be 1..1024", [](OpCall& c) { c.stride = 0; });
  bad("op1: the height of y is 13, so its last window begins at 23, must begin below 14",
      [](OpCall& c) { c.stride = 2; });
  bad("op1: the vertical dilation is 1025", [](OpCall& c) { c.dilation = 1025; });
  bad("op1: the padding above is -1, must be 0..", [](OpCall& c) { c.pad_top = -1; });
  bad("op1: the length of bias is 19, must be 20", [](OpCall& c) { c.bias.pop_back(); });
  bad("op1: bias holds nan at position 2", [](OpCall& c) { c.bias[2] = kNan; });
  bad("op1: integer weights need a scale", [](OpCall& c) { c.scale.clear(); });
  bad("op1: scale holds inf", [](OpCall& c) { c.scale[0] = std::numeric_limits<float>::infinity(); });
  bad("op1: the activation is limited to nan", [](OpCall& c) { c.low = kNan; });
  bad("op1: the activation is limited to 1..0", [](OpCall& c) { c.low = 1, c.high = 0; });
  bad("op1: x is uint8, must be float32 as the weights are float32", [](OpCall& c) {
    c.input = Dtype::kFloat32;
    c.weight_f32.resize(c.weight_int8.size());
  });
}

// The largest sums of weights that int32 accumulators can take, and one more.
void test_accumulators() {
  for (const std::int64_t channels : {44149, 44150}) {
    Builder b(1, 1);
    const auto image = b.bytes(1, 1, channels, -127), y = b.floats(1, 1, 1);
    b.call(Kind::kImport, 0, image);
    OpCall& c = b.direct(image, y, 1, 1, 0);
    std::fill(c.weight_int8.begin(), c.weight_int8.end(), std::int8_t{-127});
    b.call(Kind::kExport, y, 0);
    const Network network = b.take();
    const bool fails =
        throws<std::invalid_argument>([&] { build(network); }, "must be at most 5607006 to fit int32");
    CHECK(fails == (channels == 44150), std::to_string(channels));
  }
}

// The same for words, whose bound depends on their grid: 512 weights of 2047 times 2047.
void test_word_accumulators() {
  for (const std::int64_t channels : {512, 513}) {
    Builder b(1, 1);
    const auto image = b.words(1, 1, channels, -2047), y = b.floats(1, 1, 1);
    b.call(Kind::kImport, 0, image);
    OpCall& c = b.direct(image, y, 1, 1, 0);
    std::fill(c.weight_int16.begin(), c.weight_int16.end(), std::int16_t{-2047});
    b.call(Kind::kExport, y, 0);
    const Network network = b.take();
    const bool fails =
        throws<std::invalid_argument>([&] { build(network); }, "must be at most 1049088 to fit int32");
    CHECK(fails == (channels == 513), std::to_string(channels));
  }
}

// The fast convolution of words.
void test_fast_words() {
  const auto bad = [](const std::string& part, const std::function<void(OpCall&)>& change) {
    refused(part, [&](Network& network) {
      for (OpCall& call : network.calls) {
        if (call.kind == Kind::kFast && call.input == Dtype::kInt16) change(call);
      }
    });
  };
  bad("integer is false, must be true as the weights are int16", [](OpCall& c) { c.flag = false; });
  bad("v_limit is 32768, must be 1..32767", [](OpCall& c) { c.v_limit = 32768; });
  bad("must be at most 65538 to fit int32", [](OpCall& c) {
    c.v_limit = 32767;
    std::fill(c.weight_int16.begin(), c.weight_int16.end(), std::int16_t{32767});
  });
  bad("x is int16, must be uint8 as the weights are int8", [](OpCall& c) {
    c.input = Dtype::kUint8;
    c.weight_int8.resize(c.weight_int16.size());
  });
}

// Who may read and write bf16. The tensor moves to the end, where it has room.
void test_bf16() {
  const auto bad = [](Kind kind, const std::string& part, std::int64_t OpCall::* role) {
    refused(part, [&](Network& n) {
      TensorSpec& tensor = n.tensors[static_cast<std::size_t>(first(n, kind).*role)];
      tensor.dtype = Dtype::kBf16;
      tensor.offset = (n.arena_bytes + 63) / 64 * 64;
      n.arena_bytes = tensor.offset + n.batch * tensor.height * tensor.width * tensor.stride * 2;
    });
  };
  bad(Kind::kPool, "x is bfloat16, must be uint8, int16 or float32", &OpCall::x);
  bad(Kind::kPool, "y is bfloat16, must be", &OpCall::y);
  bad(Kind::kGather, "y is bfloat16, must be", &OpCall::y);
  bad(Kind::kResize, "y is bfloat16, must be", &OpCall::y);
  bad(Kind::kEltwise, "x is bfloat16, must be", &OpCall::x);
  bad(Kind::kExport, "x is bfloat16, must be", &OpCall::x);
  bad(Kind::kDirect, "x is bfloat16, must be uint8 as the weights are int8", &OpCall::x);
  bad(Kind::kEltwise, "the residual is bfloat16", &OpCall::y);
  refused("weight holds inf at position 1", [](Network& n) {
    for (OpCall& call : n.calls) {
      if (call.input == Dtype::kBf16) call.weight_bf16[1] = 0x7F80;
    }
  });
}

void test_fast() {
  const auto bad = [](const std::string& part, auto change) { refused(Kind::kFast, part, change); };
  bad("the number of columns of at is 1, must be 4, the rows of bt", [](OpCall& c) { c.at.resize(2); });
  bad("the number of rows of at is 8, must be 1..4", [](OpCall& c) { c.m = 8; });
  bad("stride is 0, must be 1..1024", [](OpCall& c) { c.stride = 0; });
  bad("the number of rows of at is 2, must be 1..1", [](OpCall& c) { c.stride = 4; });
  bad("the height of y is 13, must be 7, from 13 with padding 1 on both sides, a kernel of 2 and a stride of "
      "2",
      [](OpCall& c) { c.stride = 2; });
  bad("the number of rows of bt is 0", [](OpCall& c) { c.n = 0; });
  bad("the number of columns of bt is 32, must be 1..26", [](OpCall& c) { c.bt.resize(128); });
  bad("bt[0, 1] is 0.5, must be an integer", [](OpCall& c) { c.bt[1] = 0.5f; });
  bad("at holds nan", [](OpCall& c) { c.at[1] = kNan; });
  bad("a row of bt sum to 3001, must be at most 2901", [](OpCall& c) { c.bt[0] = 3000; });
  bad("the number of taps of u is 4, must be 16", [](OpCall& c) { c.shape[0] = 4; });
  bad("mult is 0, must be 1..32767", [](OpCall& c) { c.mult[3] = 0; });
  bad("mult has 10 columns, must be 1 or 20", [](OpCall& c) { c.mult.resize(160), c.columns = 10; });
  bad("v_limit is 128, must be 1..127", [](OpCall& c) { c.v_limit = 128; });
  bad("fraction_bits is 14, must be 15..31", [](OpCall& c) { c.fraction_bits = 14; });
  bad("integer weights need mult and scale", [](OpCall& c) { c.mult.clear(); });
  bad("the number of columns of scale is 10", [](OpCall& c) { c.scale.resize(160); });
  bad("the height of y is 13, must be 11, from 13 with padding 0", [](OpCall& c) { c.pad_top = 0; });
}

void test_others() {
  const auto bad = [](Kind kind, const std::string& part, auto change) { refused(kind, part, change); };
  bad(Kind::kPool, "the length of rows is 6, must be 7", [](OpCall& c) { c.rows.resize(12); });
  bad(Kind::kPool, "rows[0] is 3, 3, must be in order, not empty,", [](OpCall& c) { c.rows[0] = 3; });
  bad(Kind::kPool, "cols[5] is 10, 12, must be in order, not empty, and within 0..11",
      [](OpCall& c) { c.cols.back() = 12; });
  bad(Kind::kPool, "divisor is -1", [](OpCall& c) { c.number = -1; });
  bad(Kind::kEltwise, "the length of scale is 1, must be 20", [](OpCall& c) { c.scale.resize(1); });
  bad(Kind::kGather, "rows is 7, must be -1..6", [](OpCall& c) { c.rows[0] = 7; });
  bad(Kind::kGather, "cols is -2, must be -1..5", [](OpCall& c) { c.cols[0] = -2; });
  bad(Kind::kGather, "first is 18, must be 0..17", [](OpCall& c) { c.number = 18; });
  bad(Kind::kGather, "which nothing has written yet", [](OpCall& c) { c.flag = false; });
  bad(Kind::kPixelShuffle, "factor is 0, must be 1..256", [](OpCall& c) { c.number = 0; });
  bad(Kind::kPixelShuffle, "the number of channels of x is 12, must be 27", [](OpCall& c) { c.number = 3; });
  bad(Kind::kResize, "rows[4] is 15, 16, must be in order and within 0..15",
      [](OpCall& c) { c.rows.back() = 16; });
  bad(Kind::kResize, "row_weights[1] is nan, must be 0..1", [](OpCall& c) { c.row_weights[1] = kNan; });
  refused("first is 19, must be at least 20, the channels written", [](Network& n) {
    OpCall* second = nullptr;
    for (OpCall& call : n.calls) {
      if (call.kind == Kind::kGather) second = &call;
    }
    second->number = 19;
  });
}

// A refusal leaves the plan as it was.
void test_goes_on() {
  const Network network = small_network(2, true);
  Plan plan(network.batch, network.arena_bytes);
  for (const TensorSpec& spec : network.tensors) plan.add_tensor(spec);
  for (const OpCall& call : network.calls) {
    OpCall wrong = call;
    wrong.x = wrong.y = 1000;
    CHECK(throws<std::invalid_argument>([&] { add(plan, wrong); }, "is 1000, must be 0.."), call.name);
    add(plan, call);
  }
  plan.check_finished();
  CHECK(plan.steps().size() == network.calls.size(), "steps");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  build(small_network(2, false));
  test_plan_and_tensors();
  test_order();
  test_direct();
  test_accumulators();
  test_word_accumulators();
  test_fast();
  test_fast_words();
  test_bf16();
  test_others();
  test_goes_on();
  std::cout << "plan: passed\n";
}
