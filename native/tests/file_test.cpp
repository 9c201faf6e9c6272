// The container of a compiled network: what is read is what was written, and every damage is refused in words.
#include "program/file.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/check.h"
#include "tests/program_builder.h"

namespace tilewise::testing {
namespace {

const NamedValues kValues = {{"0.a", values_of({2, 3}, std::vector<std::int16_t>{1, -2, 3, -4, 5, -6})},
                             {"0.b", values_of(std::vector<std::int8_t>{})},
                             {"1.c", values_of({}, std::vector<float>{1.5F})},
                             {"1.d", values_of(std::vector<std::int64_t>{1, 2})}};
constexpr const char* kProgram = "{\"version\": 4}";

Content valid() { return file_of(kProgram, kValues, checksum_of(kProgram, kValues)); }

void refused(const Content& content, const std::string& part, const std::string& text) {
  CHECK(throws<std::invalid_argument>([&] { read_file(content); }, part), text);
}

void test_what_is_read_is_what_was_written() {
  const Content content = valid();
  const File file = read_file(content);
  CHECK(file.program == kProgram, file.program);
  CHECK(file.arrays.size() == kValues.size(), "arrays");
  for (const auto& [name, array] : file.arrays) {
    const Values& written = kValues.at(name);
    CHECK(array && array.dtype == written.dtype && array.shape == written.shape, name);
    CHECK(std::equal(array.data, array.data + array.bytes, written.bytes.begin(), written.bytes.end()), name);
  }
  CHECK((file.arrays.at("0.a").view<std::int16_t, 2>()(1, 2) == -6), "view");
  CHECK(file.arrays.at("1.c").values<float>()[0] == 1.5F, "values");
  CHECK(!Array(), "no array");
}

// The check value of CRC-32, and the same whatever pieces the bytes come in.
void test_checksum() {
  const char* const digits = "123456789";
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(digits), 9};
  CHECK(crc32(bytes) == 0xCBF43926u, "check value");
  for (std::size_t cut = 0; cut <= 9; ++cut) CHECK(crc32(bytes.subspan(cut), crc32(bytes.first(cut))) == 0xCBF43926u, "pieces");
  CHECK(crc32({}) == 0, "nothing");
  const auto of = [](const NamedValues& values) { return checksum_of(kProgram, values); };
  NamedValues renamed = kValues, reshaped = kValues, retyped = kValues;
  renamed["0.z"] = renamed["0.a"], renamed.erase("0.a");
  reshaped["0.a"].shape = {3, 2};
  retyped["0.a"].dtype = "uint16";
  for (const NamedValues& other : {renamed, reshaped, retyped}) CHECK(of(other) != of(kValues), "it covers names, shapes, dtypes");
}

// Whatever byte changes: the file is refused, or the byte meant nothing and the same is read.
void test_damage() {
  const Content content = valid();
  for (std::size_t size = 0; size < content.size(); ++size) {
    const Content part(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size));
    refused(part, "", "cut to " + std::to_string(size));
  }
  const File whole = read_file(content);
  const std::uint32_t right = checksum(whole.program, whole.arrays);
  for (std::size_t at = 0; at < content.size(); ++at) {
    for (const std::byte mask : {std::byte{1}, std::byte{0x20}, std::byte{0x80}}) {
      Content flipped = content;
      flipped[at] ^= mask;
      try {
        const File file = read_file(flipped);
        CHECK(checksum(file.program, file.arrays) == right, "flipped byte " + std::to_string(at));
      } catch (const std::invalid_argument&) {
      }
    }
  }
  const auto data = static_cast<std::size_t>(whole.arrays.at("0.a").data - content.data());
  for (std::size_t at = data; at < data + 12; ++at) {
    Content flipped = content;
    flipped[at] ^= std::byte{1};
    refused(flipped, "its content does not match its checksum; the file is damaged", "data");
  }
  refused(file_of(kProgram, kValues, "00000000"), "its content does not match its checksum", "wrong checksum");
}

void test_beginnings() {
  refused({}, "it has 0 bytes; a compiled network has more", "empty");
  refused(Content(7), "it has 7 bytes", "too short");
  const auto with_length = [](std::uint64_t length) {
    Content content = valid();
    std::memcpy(content.data(), &length, sizeof length);
    return content;
  };
  for (const std::uint64_t length : {std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{0} - 7, std::uint64_t{9}}) {
    refused(with_length(length), "it is no compiled network: its header would have " + std::to_string(length) + " bytes",
            std::to_string(length));
  }
  refused(with_length(0), "it is not JSON: at byte 0", "no header");
}

// Any header, over 64 bytes of data.
void header_refused(const std::string& header, const std::string& part) {
  refused(container(header, std::vector<std::byte>(64)), part, header);
}

void test_headers() {
  header_refused("[]", "it is no compiled network: its header is a list");
  header_refused("{}", "it is no compiled network: it holds no program");
  header_refused("{\"__metadata__\": 3}", "it holds no program");
  header_refused("{\"__metadata__\": {\"tilewise_program\": 3}}", "it holds no program");
  header_refused("{\"__metadata__\": {\"tilewise_plan\": \"{}\"}}",
                 "it is of version 3 or older; this release reads version 4: compile the network again");
  header_refused("{\"__metadata__\": {\"tilewise_program\": \"{}\"}}", "does not match its checksum");
  header_refused("{\"__metadata__\": {\"tilewise_program\": \"{}\", \"tilewise_checksum\": 7}}", "does not match its checksum");
}

void test_arrays() {
  const auto array = [](const std::string& entry, const std::string& part) {
    header_refused("{\"__metadata__\": {\"tilewise_program\": \"{}\"}, \"0.w\": " + entry + "}", part);
  };
  array("3", "the array 0.w lacks dtype, or it is of another kind");
  array("{}", "the array 0.w lacks dtype");
  array(R"({"dtype": "I8"})", "the array 0.w lacks shape");
  array(R"({"dtype": "I8", "shape": [4]})", "the array 0.w lacks data_offsets");
  array(R"({"dtype": "F64", "shape": [4], "data_offsets": [0, 32]})", "is of dtype F64, must be I8, I16, U16, I32, I64 or F32");
  array(R"({"dtype": "I8", "shape": [-4], "data_offsets": [0, 4]})", "the array 0.w has an impossible shape");
  array(R"({"dtype": "I8", "shape": [4.0], "data_offsets": [0, 4]})", "impossible shape");
  array(R"({"dtype": "I8", "shape": [1, 1, 1, 1, 1, 1, 1, 1, 1], "data_offsets": [0, 1]})", "impossible shape");
  array(R"({"dtype": "I8", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]})", "more than 2^59 elements");
  for (const char* const offsets : {"[0]", "[0, 4, 8]", "[0, 3]", "[0, 5]", "[-4, 0]", "[4, 0]", "[61, 65]", "[0.0, 4]",
                                    "[9223372036854775804, 9223372036854775807]"}) {
    array(std::string(R"({"dtype": "I8", "shape": [4], "data_offsets": )") + offsets + "}",
          "does not lie where its shape and the file allow");
  }
  array(R"({"dtype": "I32", "shape": [1], "data_offsets": [2, 6]})", "does not lie where");  // not at a multiple of 4
  const std::string name(500, 'n');
  header_refused("{\"__metadata__\": {\"tilewise_program\": \"{}\"}, \"" + name + "\": 3}", "lacks dtype");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_what_is_read_is_what_was_written();
  test_checksum();
  test_damage();
  test_beginnings();
  test_headers();
  test_arrays();
}
