#include "program/file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/json.h"

namespace tilewise {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are used as they lie in the file");

constexpr std::size_t kMaxHeader = std::size_t{1} << 28;
constexpr std::size_t kMaxAxes = 8;
constexpr std::size_t kMaxShown = 80;  // of a name in an error

struct ItemType {
  const char* name;    // here
  const char* stored;  // in the file
  std::size_t bytes;
};
constexpr ItemType kItemTypes[] = {{"int8", "I8", 1},   {"int16", "I16", 2}, {"uint16", "U16", 2},
                                   {"int32", "I32", 4}, {"int64", "I64", 8}, {"float32", "F32", 4}};

// Eight bytes at a time: table k holds what a byte gives that k more bytes follow.
constexpr auto kCrcTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
    tables[0][byte] = crc;
  }
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < 8; ++k)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFF];
  }
  return tables;
}();

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

const Json& member(const Json& object, std::string_view name, Json::Kind kind, const std::string& of) {
  const Json* const value = object.find(name);
  if (value == nullptr || value->kind != kind) refuse(of.substr(0, kMaxShown), " lacks ", name, ", or it is of another kind");
  return *value;
}

Array read_array(const std::string& name, const Json& entry, std::span<const std::byte> data) {
  const std::string of = "the array " + name;
  const std::string& stored = member(entry, "dtype", Json::Kind::kText, of).text;
  const auto* const type =
      std::ranges::find_if(kItemTypes, [&](const ItemType& item) { return stored == item.stored; });
  if (type == std::end(kItemTypes))
    refuse(of.substr(0, kMaxShown), " is of dtype ", stored.substr(0, kMaxShown), ", must be I8, I16, U16, I32, I64 or F32");
  Array array{.dtype = type->name, .shape = {}, .data = nullptr, .bytes = 0};
  for (const Json& extent : member(entry, "shape", Json::Kind::kList, of).items) {
    if (extent.kind != Json::Kind::kInteger || extent.integer < 0 || array.shape.size() == kMaxAxes)
      refuse(of.substr(0, kMaxShown), " has an impossible shape");
    array.shape.push_back(extent.integer);
  }
  const std::vector<Json>& offsets = member(entry, "data_offsets", Json::Kind::kList, of).items;
  const bool numbers = offsets.size() == 2 && offsets[0].kind == Json::Kind::kInteger && offsets[1].kind == Json::Kind::kInteger;
  const std::int64_t count = element_count(array.shape);
  if (!numbers || offsets[0].integer < 0 || offsets[1].integer < offsets[0].integer ||
      static_cast<std::uint64_t>(offsets[1].integer) > data.size() ||
      static_cast<std::uint64_t>(offsets[1].integer - offsets[0].integer) != static_cast<std::uint64_t>(count) * type->bytes ||
      static_cast<std::size_t>(offsets[0].integer) % type->bytes != 0) {
    refuse(of.substr(0, kMaxShown), " does not lie where its shape and the file allow");
  }
  array.data = data.data() + offsets[0].integer;
  array.bytes = static_cast<std::size_t>(offsets[1].integer - offsets[0].integer);
  return array;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t start) {
  const auto& t = kCrcTables;
  std::uint32_t crc = ~start;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    std::uint32_t low = 0, high = 0;
    std::memcpy(&low, p, 4);
    std::memcpy(&high, p + 4, 4);
    low ^= crc;
    crc = t[7][low & 0xFF] ^ t[6][low >> 8 & 0xFF] ^ t[5][low >> 16 & 0xFF] ^ t[4][low >> 24] ^ t[3][high & 0xFF] ^
          t[2][high >> 8 & 0xFF] ^ t[1][high >> 16 & 0xFF] ^ t[0][high >> 24];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ t[0][(crc ^ std::to_integer<std::uint32_t>(*p)) & 0xFF];
  return ~crc;
}

std::uint32_t checksum(std::string_view program, const Arrays& arrays) {
  std::uint32_t crc = crc32(as_bytes(program));
  for (const auto& [name, array] : arrays) {
    std::string label = name + " " + array.dtype + " ";
    for (std::size_t axis = 0; axis < array.shape.size(); ++axis) {
      if (axis != 0) label += ',';
      label += std::to_string(array.shape[axis]);
    }
    crc = crc32({array.data, array.bytes}, crc32(as_bytes(label), crc));
  }
  return crc;
}

File read_file(std::span<const std::byte> content) {
  std::uint64_t length = 0;
  if (content.size() < sizeof length) refuse("it has ", content.size(), " bytes; a compiled network has more");
  std::memcpy(&length, content.data(), sizeof length);
  if (length > content.size() - sizeof length || length > kMaxHeader || length % 8 != 0)
    refuse("it is no compiled network: its header would have ", length, " bytes");
  const auto header_bytes = content.subspan(sizeof length, static_cast<std::size_t>(length));
  const Json header = parse_json({reinterpret_cast<const char*>(header_bytes.data()), header_bytes.size()});
  if (header.kind != Json::Kind::kObject) refuse("it is no compiled network: its header is ", header.what());
  const Json* const metadata = header.find("__metadata__");
  const Json* const program = metadata == nullptr ? nullptr : metadata->find("tilewise_program");
  if (metadata != nullptr && metadata->find("tilewise_plan") != nullptr)
    refuse("it is of version 3 or older; this release reads version 4: compile the network again");
  if (program == nullptr || program->kind != Json::Kind::kText) refuse("it is no compiled network: it holds no program");
  File file{.program = program->text, .arrays = {}};
  for (const auto& [name, entry] : header.members) {
    if (name != "__metadata__") file.arrays.emplace(name, read_array(name, entry, content.subspan(sizeof length + header_bytes.size())));
  }
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // what fuzzers define: mutants would come no further
  char wanted[9];
  std::snprintf(wanted, sizeof wanted, "%08x", checksum(file.program, file.arrays));
  const Json* const stored = metadata->find("tilewise_checksum");
  if (stored == nullptr || stored->text != wanted)
    refuse("its content does not match its checksum; the file is damaged");
#endif
  return file;
}

}  // namespace tilewise
