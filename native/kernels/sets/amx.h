// Products of bytes by the matrix registers of AMX-INT8: 16 rows of 64 bytes times 64 weights of 16 output channels, in one
// instruction. What a product of less than that would waste stays with the vectors of the set that includes this.
#pragma once

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/dot.h"
#include "kernels/peak.h"

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

  struct Panel {
    std::int64_t vectors, groups;
    const Weight* weights;
    const Sum* init;
  };

  // As micro(), for up to kTallRows rows, of which pixels that follow each other lie `step` bytes apart. Writes sums of
  // whole registers: of round_up(height, kRows) rows.
  static void multiply(const In* const* rows, std::int64_t distance, std::int64_t height, std::int64_t step,
                       const Panel& panel, std::span<const Stretch> stretches, const Sums<Sum>& sums) {
    multiply(Pointers{rows, distance, height, step}, height, panel, stretches, sums);
  }

  // The same of rows that all lie `step` bytes apart, and where round_up(height, kRows) of them may be read.
  static void multiply(const In* rows, std::int64_t step, std::int64_t height, const Panel& panel,
                       const Sums<Sum>& sums) {
    multiply(Rows{rows, step}, height, panel, kOneSegment, sums);
  }

 private:
  static constexpr int kInput = 4, kWeights = 6;  // registers; the sums are 0 to 3

  // Rows `step` bytes apart, from the first of a register on.
  struct Rows {
    const In* data;
    std::int64_t step;

    Rows of(const Stretch&, std::int64_t row) const { return {data + row * step, step}; }
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
    [[gnu::always_inline]] static bool evenly_apart(const In* const* rows, std::int64_t step) {
      using Places = std::int64_t __attribute__((vector_size(64)));
      const auto first = reinterpret_cast<std::int64_t>(rows[0]);
      const Places expected = first + step * Places{0, 1, 2, 3, 4, 5, 6, 7};
      const Places wrong = (load<Places>(rows) ^ expected) | (load<Places>(rows + 8) ^ (expected + 8 * step));
      return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(wrong), reinterpret_cast<__m512i>(wrong)) == 0;
    }
    Unit of(const Stretch& stretch, std::int64_t row) const {
      const In* const* const first = rows + stretch.first * distance + row;
      const std::int64_t count = std::min<std::int64_t>(kRows, height - row);
      return {first, count, step, count == kRows && evenly_apart(first, step)};
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

  // Two registers of rows and two vectors at a time. All rows meet the same weights before the next ones come, since
  // weights for all vectors leave no room for anything else in the first cache.
  template <class Source>
  static void multiply(const Source& source, std::int64_t height, const Panel& panel, std::span<const Stretch> stretches,
                       const Sums<Sum>& sums) {
    for (std::int64_t v = 0; v < panel.vectors; v += 2) {
      for (std::int64_t row = 0; row < height; row += 2 * kRows) {
        const bool one_unit = height - row <= kRows, one_vector = panel.vectors - v == 1;
        const auto call = one_unit ? (one_vector ? block<1, 1, Source> : block<1, 2, Source>)
                                   : (one_vector ? block<2, 1, Source> : block<2, 2, Source>);
        call(source, row, panel, v, stretches, {sums.data + row * sums.row + v * sums.vector, sums.row, sums.vector});
      }
    }
  }

  // Units * 16 rows times Vectors * 16 output channels, from a row and a vector of the panel on.
  template <int Units, int Vectors, class Source>
  static void block(const Source& source, std::int64_t row, const Panel& panel, std::int64_t v,
                    std::span<const Stretch> stretches, const Sums<Sum>& sums) {
    alignas(64) In copies[Units][kRows * kBytes];
    const Sum* const init = panel.init + v * kLanes;
    fetch<0>(init, 0);  // each row is the same
    if constexpr (Vectors > 1) fetch<1>(init + kLanes, 0);
    if constexpr (Units > 1) fetch<2>(init, 0);
    if constexpr (Units > 1 && Vectors > 1) fetch<3>(init + kLanes, 0);

    const std::int64_t step = panel.vectors * kBytes;  // from the weights of a group to those of the next
    for (const Stretch& stretch : stretches) {
      const Weight* weights = panel.weights + stretch.first * panel.groups * step + v * kBytes;
      const auto first = source.of(stretch, row), second = source.of(stretch, row + (Units - 1) * kRows);
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

    const std::int64_t distance = sums.row * static_cast<std::int64_t>(sizeof(Sum));
    put<0>(sums.data, distance);
    if constexpr (Vectors > 1) put<1>(sums.data + sums.vector, distance);
    if constexpr (Units > 1) put<2>(sums.data + kRows * sums.row, distance);
    if constexpr (Units > 1 && Vectors > 1) put<3>(sums.data + kRows * sums.row + sums.vector, distance);
  }
};

// Of a product that stays in the first cache.
inline double amx_operations() {
  constexpr std::int64_t kRowCount = 32, kVectors = 2, kChannels = 512;
  const std::vector<std::uint8_t> rows(kRowCount * kBytes + kChannels);  // each begins within the one before
  const std::vector<std::int8_t> weights(kChannels * kVectors * kLanes);
  std::int32_t init[kVectors * kLanes]{}, sums[kRowCount * kVectors * kLanes];
  const AmxDot::Session session;
  return best_rate(2.0 * kRowCount * kChannels * kVectors * kLanes, [&] {
    AmxDot::multiply(rows.data(), kBytes, kRowCount, {kVectors, kChannels / AmxDot::kGroup, weights.data(), init},
                     {sums, kVectors * kLanes, kLanes});
  });
}

inline Peaks measure_amx_peaks() {
  Peaks peaks = measure_peaks();
  peaks.int8_operations = amx_operations();
  return peaks;
}

}  // namespace tilewise::TILEWISE_SET
