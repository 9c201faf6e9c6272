// Products of bytes by the matrix registers of AMX-INT8: 16 rows of 64 bytes times 64 weights of 16 output channels, in one
// instruction. What a product of less than that would waste stays with the vectors of the set that includes this.
#pragma once

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/dot.h"
#include "kernels/peak.h"
#include "operations/direct/body.h"
#include "operations/fast/body.h"

namespace tilewise::TILEWISE_SET {

// Whether the processor has the registers, and the system lets this process use them: Linux wants to be asked, once.
inline bool has_matrix_registers() {
  static const bool granted = [] {
    constexpr unsigned kTile = 1U << 24, kInt8 = 1U << 25;  // of leaf 7
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kInt8) == 0) return false;
    constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  }();
  return granted;
}

struct AmxDot : Int8Dot {
  static constexpr int kRows = 16;           // of a register
  static constexpr std::int64_t kDepth = 16;  // groups of kGroup bytes in a row of a register

  // Gives this thread its registers, all of 16 rows of 64 bytes, and takes them back.
  class Session {
   public:
    Session() {
      struct alignas(64) {
        std::uint8_t palette = 1, start = 0, unused[14]{};
        std::uint16_t row_bytes[16]{};
        std::uint8_t rows[16]{};
      } shape;
      std::fill_n(shape.row_bytes, 8, static_cast<std::uint16_t>(kBytes));
      std::fill_n(shape.rows, 8, static_cast<std::uint8_t>(kRows));
      asm volatile("ldtilecfg %0" : : "m"(shape));
    }
    ~Session() { asm volatile("tilerelease"); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
  };

  // As micro(), for up to kTallRows rows, of which pixels that follow each other lie `step` bytes apart. Writes sums of
  // whole registers: of round_up(height, kRows) rows.
  static void multiply(const In* const* rows, std::int64_t distance, std::int64_t height, std::int64_t step,
                       std::int64_t vectors, std::span<const Stretch> stretches, std::int64_t groups, const Weight* weights,
                       const Sum* init, const Sums<Sum>& sums) {
    const Pointers source{rows, distance, height, step};
    panel(source, height, {vectors, groups, weights, init}, stretches, sums);
  }

  // The same of rows that all lie `step` bytes apart, and where round_up(height, kRows) of them may be read.
  static void multiply(const In* rows, std::int64_t step, std::int64_t height, std::int64_t vectors, std::int64_t groups,
                       const Weight* weights, const Sum* init, const Sums<Sum>& sums) {
    panel(Rows{rows, step}, height, {vectors, groups, weights, init}, kOneSegment, sums);
  }

 private:
  static constexpr int kInput = 4, kWeights = 6;  // registers; the sums are 0 to 3

  struct Panel {
    std::int64_t vectors, groups;
    const Weight* weights;
    const Sum* init;
  };

  // Rows `step` bytes apart, from the first of a register on.
  struct Rows {
    const In* data;
    std::int64_t step;

    Rows of(const Stretch&, int unit) const { return {data + unit * kRows * step, step}; }
    [[gnu::always_inline]] Rows part(std::int64_t depth, In*) const { return {data + depth * kBytes, step}; }
  };

  // The rows that pointers point to. Where they are not evenly apart, or fewer than a register has, they are copied.
  struct Pointers {
    const In* const* rows;
    std::int64_t distance, height, step;

    struct Unit {
      const In* const* rows;
      std::int64_t height, step;
      bool even;

      [[gnu::always_inline]] Rows part(std::int64_t depth, In* copy) const {
        if (even) return {rows[0] + depth * kBytes, step};
        for (std::int64_t r = 0; r < height; ++r) store(copy + r * kBytes, load<I8>(rows[r] + depth * kBytes));
        return {copy, kBytes};
      }
    };
    Unit of(const Stretch& stretch, int unit) const {
      const In* const* const first = rows + stretch.first * distance + unit * kRows;
      const std::int64_t count = std::min<std::int64_t>(kRows, height - unit * kRows);
      bool even = count == kRows;
      for (int r = 1; even && r < kRows; ++r) even = first[r] - first[r - 1] == step;
      return {first, count, step, even};
    }
  };

  template <int Register>
  [[gnu::always_inline]] static void fetch(const void* from, std::int64_t step) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(step), "i"(Register) : "memory");
  }
  template <int Register>
  [[gnu::always_inline]] static void put(void* to, std::int64_t step) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(step), "i"(Register) : "memory");
  }
  template <int Sum, int Input, int Weight>
  [[gnu::always_inline]] static void multiply_add() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(Input), "i"(Weight));
  }

  // A panel, two vectors at a time.
  template <class Source>
  static void panel(const Source& source, std::int64_t height, const Panel& panel, std::span<const Stretch> stretches,
                    const Sums<Sum>& sums) {
    const bool two = height > kRows;
    for (std::int64_t v = 0; v < panel.vectors; v += 2) {
      if (v + 1 < panel.vectors) {
        two ? block<2, 2>(source, panel, v, stretches, sums) : block<1, 2>(source, panel, v, stretches, sums);
      } else {
        two ? block<2, 1>(source, panel, v, stretches, sums) : block<1, 1>(source, panel, v, stretches, sums);
      }
    }
  }

  // Units * 16 rows times Vectors * 16 output channels, from vector v of the panel on.
  template <int Units, int Vectors, class Source>
  static void block(const Source& source, const Panel& panel, std::int64_t v, std::span<const Stretch> stretches,
                    const Sums<Sum>& sums) {
    alignas(64) In copies[Units][kRows * kBytes];
    const Sum* const init = panel.init + v * kLanes;
    fetch<0>(init, 0);  // each row is the same
    if constexpr (Vectors > 1) fetch<1>(init + kLanes, 0);
    if constexpr (Units > 1) fetch<2>(init, 0);
    if constexpr (Units > 1 && Vectors > 1) fetch<3>(init + kLanes, 0);

    const std::int64_t step = panel.vectors * kBytes;  // from the weights of a group to those of the next
    for (const Stretch& stretch : stretches) {
      const Weight* weights = panel.weights + stretch.first * panel.groups * step + v * kBytes;
      const auto first = source.of(stretch, 0), second = source.of(stretch, Units - 1);
      const std::int64_t depths = panel.groups * stretch.count / kDepth;
      for (std::int64_t depth = 0; depth < depths; ++depth, weights += kDepth * step) {
        const Rows a = first.part(depth, copies[0]);
        fetch<kInput>(a.data, a.step);
        if constexpr (Units > 1) {
          const Rows b = second.part(depth, copies[Units - 1]);
          fetch<kInput + 1>(b.data, b.step);
        }
        fetch<kWeights>(weights, step);
        multiply_add<0, kInput, kWeights>();
        if constexpr (Units > 1) multiply_add<2, kInput + 1, kWeights>();
        if constexpr (Vectors > 1) {
          fetch<kWeights + 1>(weights + kBytes, step);
          multiply_add<1, kInput, kWeights + 1>();
          if constexpr (Units > 1) multiply_add<3, kInput + 1, kWeights + 1>();
        }
      }
    }

    Sum* const to = sums.data + v * sums.vector;
    const std::int64_t row = sums.row * static_cast<std::int64_t>(sizeof(Sum));
    put<0>(to, row);
    if constexpr (Vectors > 1) put<1>(to + sums.vector, row);
    if constexpr (Units > 1) put<2>(to + kRows * sums.row, row);
    if constexpr (Units > 1 && Vectors > 1) put<3>(to + kRows * sums.row + sums.vector, row);
  }
};

// Of a product that stays in the second-level cache: 32 rows and output channels, 64 KiB of weights.
inline double amx_operations() {
  constexpr std::int64_t kChannels = 2048, kRowCount = 32, kVectors = 2;
  const std::vector<std::uint8_t> rows(kRowCount * kChannels);
  const std::vector<std::int8_t> weights(kChannels * kVectors * kLanes);
  std::int32_t init[kVectors * kLanes]{}, sums[kRowCount * kVectors * kLanes];
  const AmxDot::Session session;
  return best_rate(2.0 * kRowCount * kChannels * kVectors * kLanes, [&] {
    AmxDot::multiply(rows.data(), kChannels, kRowCount, kVectors, kChannels / AmxDot::kGroup, weights.data(), init,
                     {sums, kVectors * kLanes, kLanes});
  });
}

inline Peaks measure_amx_peaks() {
  Peaks peaks = measure_peaks();
  peaks.int8_operations = amx_operations();
  return peaks;
}

// With fewer channels most of a register would be zeros.
inline bool fills_registers(std::int64_t groups, const TensorRef& x, const TensorRef& y) {
  return slices_of(groups, y.channels, x.channels).channels >= AmxDot::kDepth * AmxDot::kGroup / 2;
}

inline std::unique_ptr<Op> make_direct_amx(const DirectConv& conv) {
  if (conv.is_depthwise() || !fills_registers(conv.groups, *conv.x, *conv.y)) return make_direct_int8(conv);
  return std::make_unique<DirectOp<AmxDot>>(conv, conv.weight_int8.data());
}

inline std::unique_ptr<Op> make_fast_amx(const FastConv& conv) {
  if (!fills_registers(conv.groups, *conv.x, *conv.y)) return make_fast_int8(conv);
  return fast_op<AmxDot, std::uint8_t>(conv, conv.u_int8.data(), [&] { return byte_input_for(conv); });
}

}  // namespace tilewise::TILEWISE_SET
