// Exact convolution by residues (kernels/residue.h): the taps of all moduli side by side, then one number out
// of its residues.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/sixteen_dots.h"
#include "operations/fast/fast_op.h"
#include "operations/residue/arithmetic.h"
#include "operations/residue/params.h"
#include "operations/wrapping/body.h"

namespace tilewise::TILEWISE_SET {

// The residue nearest 0, or nearly (residue::reduced).
class Reduction {
 public:
  explicit Reduction(std::int32_t modulus)
      : inverse_(F32{} + 1.0F / static_cast<float>(modulus)), modulus_(I32{} + modulus) {}
  [[gnu::always_inline]] I32 operator()(I32 x) const {
    return x - floor_to_int(fused(to_float(x), inverse_, F32{} + 0.5F)) * modulus_;
  }

 private:
  F32 inverse_;
  I32 modulus_;
};

inline constexpr int kMaxHalf = residue::kLargestTile / 2, kMaxHalfPairs = (kMaxHalf + 1) / 2;

// Both halves of a transform, their columns in pairs of int16.
struct PairedHalves {
  std::int32_t even[kMaxHalf][kMaxHalfPairs]{}, odd[kMaxHalf][kMaxHalfPairs]{};

  PairedHalves(const residue::Halves& halves, int columns) {
    for (std::size_t i = 0; i < halves.even.size(); ++i) {
      const auto row = i / static_cast<std::size_t>(columns), column = i % static_cast<std::size_t>(columns);
      const int shift = column % 2 == 0 ? 0 : 16;
      even[row][column / 2] |= static_cast<std::int32_t>((halves.even[i] & 0xFFFF) << shift);
      odd[row][column / 2] |= static_cast<std::int32_t>((halves.odd[i] & 0xFFFF) << shift);
    }
  }
};

// One modulus' part in a transform.
struct ModularTransform {
  PairedHalves halves;
  Reduction reduce;
};

template <int Pairs>
[[gnu::always_inline]] inline I32 pair_sum(const std::int32_t* factors, const I32 (&x)[Pairs]) {
  I32 sum{};
#pragma GCC unroll 5
  for (int p = 0; p < Pairs; ++p) sum = dot2(sum, x[p], I32{} + factors[p]);
  return sum;
}

// Puts a number beside another one: of each two the second takes the upper half of the lanes.
template <int Pairs>
[[gnu::always_inline]] inline void put_in_pair(I32 (&pairs)[Pairs], int place, I32 value) {
  I32& pair = pairs[place / 2];
  pair = place % 2 == 0 ? value : join(pair, value);
}

// V modulo each modulus, kLanes channels at once.
template <typename In>
class ResidueInput final : public InputStage<std::uint8_t, In> {
 public:
  ResidueInput(const FastConv& conv, const residue::Sizes& sizes, const std::vector<residue::Triple>& triples)
      : InputStage<std::uint8_t, In>(round_up(conv.x->channels, kLanes)),
        t_(static_cast<int>(sizes.t())),
        zero_(conv.x->grid.zero) {
    for (const residue::Triple& triple : triples) {
      moduli_.push_back({{residue::input_halves(triple, sizes), t_ / 2}, Reduction(triple.modulus)});
    }
  }

  void run(const std::uint8_t* const* pixels, In* to, std::int64_t tap_distance, bool) const override {
    constexpr std::array calls = {&ResidueInput::chunk<2>, &ResidueInput::chunk<3>, &ResidueInput::chunk<4>,
                                  &ResidueInput::chunk<5>};
    const auto call = calls[static_cast<std::size_t>((t_ / 2 + 1) / 2 - 2)];
    for (std::int64_t c = 0; c < this->width(); c += kLanes) (this->*call)(pixels, to + c, tap_distance, c);
  }

 private:
  static constexpr int kMaxTile = 2 * kMaxHalf;

  // Even and odd places of a line.
  template <int Pairs>
  struct Line {
    I32 even[Pairs]{}, odd[Pairs]{};
    [[gnu::always_inline]] void put(int place, I32 value) {
      place % 2 == 0 ? put_in_pair(even, place / 2, value) : put_in_pair(odd, place / 2, value);
    }
  };

  template <int Pairs>
  void chunk(const std::uint8_t* const* pixels, In* to, std::int64_t tap_distance, std::int64_t c) const {
    Line<Pairs> columns[kMaxTile], rows[kMaxTile];
    for (int j = 0; j < t_; ++j) {
      for (int i = 0; i < t_; ++i) columns[j].put(i, load_bytes(pixels[i * t_ + j] + c) - zero_);
    }
    for (const ModularTransform& modulus : moduli_) {
      for (int j = 0; j < t_; ++j) {
        transform(modulus, columns[j],
                  [&](int a, I32 v) __attribute__((always_inline)) { rows[a].put(j, v); });
      }
      for (int a = 0; a < t_; ++a) {
        transform(modulus, rows[a], [&](int b, I32 v) __attribute__((always_inline)) {
          put(to + (a * t_ + b) * tap_distance, v);
        });
      }
      to += t_ * t_ * tap_distance;
    }
  }

  template <int Pairs, typename Put>
  [[gnu::always_inline]] void transform(const ModularTransform& modulus, const Line<Pairs>& line,
                                        const Put& put) const {
    const PairedHalves& halves = modulus.halves;
    put(0, modulus.reduce(pair_sum(halves.even[0], line.even)));
    put(t_ - 1, modulus.reduce(pair_sum(halves.odd[0], line.odd)));
    for (int x = 1; x < t_ / 2; ++x) {
      const I32 even = pair_sum(halves.even[x], line.even), odd = pair_sum(halves.odd[x], line.odd);
      put(2 * x - 1, modulus.reduce(even + odd));
      put(2 * x, modulus.reduce(even - odd));
    }
  }

  [[gnu::always_inline]] static void put(std::uint8_t* to, I32 v) { store(to, narrow(v + 128)); }
  [[gnu::always_inline]] static void put(std::int16_t* to, I32 v) { store(to, narrow_to_words(v)); }

  int t_;
  std::int32_t zero_;
  std::vector<ModularTransform> moduli_;
};

// y out of the residues of A^T M A, digit by digit (mixed radix).
class ResidueOutput final : public OutputStage<std::int32_t> {
 public:
  ResidueOutput(const FastConv& conv, const residue::Sizes& sizes,
                const std::vector<residue::Triple>& triples)
      : m_(static_cast<int>(sizes.m)),
        t_(static_cast<int>(sizes.t())),
        taps_(conv.taps()),
        scale_(conv.scale.begin(), conv.scale.end()) {
    scale_.resize(static_cast<std::size_t>(conv.y->lanes()), 0.0F);
    std::int64_t product = 1;
    for (const residue::Triple& triple : triples) {
      moduli_.push_back({{residue::output_halves(triple, sizes), t_ / 2}, Reduction(triple.modulus)});
      digits_.push_back({static_cast<std::int32_t>(product),
                         static_cast<std::int32_t>(residue::inverse(product, triple.modulus))});
      product *= triple.modulus;
    }
    constexpr std::array sums = {&ResidueOutput::sums<2>, &ResidueOutput::sums<3>, &ResidueOutput::sums<4>,
                                 &ResidueOutput::sums<5>};
    sums_ = sums[static_cast<std::size_t>((t_ / 2 + 1) / 2 - 2)];
  }

  void run(const std::int32_t* m, std::int64_t channel, std::int64_t vectors, const Target& target,
           const Finish& finish) const override {
    for_vectors(vectors, [&](auto count) { tile<count>(m, channel, target, finish); });
  }

 private:
  static constexpr int kMaxOutputs = residue::kLargestTile - 2;

  // What a digit of the mixed radix counts, and its inverse modulo the digit's modulus.
  struct Digit {
    std::int32_t weight, inverse;
  };

  template <int Vectors>
  void tile(const std::int32_t* m, std::int64_t channel, const Target& target, const Finish& finish) const {
    F32 values[kMaxOutputs * kMaxOutputs][Vectors];
    for (int v = 0; v < Vectors; ++v) {
      I32 y[kMaxOutputs * kMaxOutputs];
      (this->*sums_)(m + v * taps_ * kLanes, y);
      const F32 scale = load<F32>(scale_.data() + channel + v * kLanes);
      for (int i = 0; i < m_ * m_; ++i) values[i][v] = to_float(y[i]) * scale;
    }
    target.end<Vectors>(finish, channel, values, m_);
  }

  template <int Pairs>
  void sums(const std::int32_t* m, I32* y) const {
    for (std::size_t s = 0; s < moduli_.size(); ++s, m += t_ * t_ * kLanes) {
      const ModularTransform& modulus = moduli_[s];
      I32 even[kMaxOutputs][Pairs]{}, odd[kMaxOutputs][Pairs]{};  // of the rows
      for (int x = 0; x < t_ / 2; ++x) {
        I32 first[kMaxOutputs], second[kMaxOutputs];
        column<Pairs>(modulus, m + (x == 0 ? 0 : 2 * x - 1) * kLanes, first);
        column<Pairs>(modulus, m + (x == 0 ? t_ - 1 : 2 * x) * kLanes, second);
        for (int i = 0; i < m_; ++i) {
          put_in_pair(even[i], x, x == 0 ? first[i] : first[i] + second[i]);
          put_in_pair(odd[i], x, x == 0 ? second[i] : first[i] - second[i]);
        }
      }
      for (int i = 0; i < m_; ++i) {
        for (int j = 0; j < m_; j += 2) {
          I32* const pair = y + i * m_ + j;
          add_digit(s, pair[0], modulus.reduce(pair_sum(modulus.halves.even[j / 2], even[i])));
          add_digit(s, pair[1], modulus.reduce(pair_sum(modulus.halves.odd[j / 2], odd[i])));
        }
      }
    }
  }

  // A^T of one column of M.
  template <int Pairs>
  [[gnu::always_inline]] void column(const ModularTransform& modulus, const std::int32_t* m, I32* y) const {
    const auto product = [&](int a) __attribute__((always_inline)) {
      return modulus.reduce(load<I32>(m + a * t_ * kLanes));
    };
    I32 even[Pairs]{}, odd[Pairs]{};
    even[0] = product(0);
    odd[0] = product(t_ - 1);
    for (int x = 1; x < t_ / 2; ++x) {
      const I32 positive = product(2 * x - 1), negative = product(2 * x);
      put_in_pair(even, x, positive + negative);
      put_in_pair(odd, x, positive - negative);
    }
    for (int i = 0; i < m_; i += 2) {
      y[i] = modulus.reduce(pair_sum(modulus.halves.even[i / 2], even));
      y[i + 1] = modulus.reduce(pair_sum(modulus.halves.odd[i / 2], odd));
    }
  }

  // Garner: y + weight * digit has the residues so far and this one.
  [[gnu::always_inline]] void add_digit(std::size_t s, I32& y, I32 residue) const {
    if (s == 0) {
      y = residue;
      return;
    }
    const Reduction& reduce = moduli_[s].reduce;
    I32 difference = residue - y;
    if (s > 1) difference = reduce(difference);
    const auto digit = reinterpret_cast<U32>(reduce(difference * digits_[s].inverse));
    y = reinterpret_cast<I32>(reinterpret_cast<U32>(y) +
                              digit * static_cast<std::uint32_t>(digits_[s].weight));
  }

  int m_, t_;
  void (ResidueOutput::*sums_)(const std::int32_t* m, I32* y) const = nullptr;
  std::int64_t taps_;
  std::vector<ModularTransform> moduli_;
  std::vector<Digit> digits_;
  AlignedVector<float> scale_;  // [K]
};

template <class Dot>
std::unique_ptr<Op> make_residue_with(const ResidueConv& conv) {
  FastConv fast = fast_of(conv, conv.sizes.m, conv.sizes.r, conv.sizes.t(), conv.block);
  fast.moduli = static_cast<std::int64_t>(conv.moduli.size());
  using State = FastState<Dot, std::uint8_t>;
  auto state = shared_state<State>(conv.shared, [&] {
    std::vector<residue::Triple> triples;
    std::vector<typename Dot::Weight> u;
    for (const std::int32_t modulus : conv.moduli) {
      triples.push_back(residue::triple(modulus, conv.sizes));
      const auto part =
          residue::transform_weights(triples.back(), conv.sizes, conv.weight_int8, conv.x->channels);
      u.insert(u.end(), part.begin(), part.end());
    }
    return std::make_shared<State>(fast, u.data(),
                                   std::make_unique<ResidueInput<typename Dot::In>>(fast, conv.sizes, triples),
                                   std::make_unique<ResidueOutput>(fast, conv.sizes, triples));
  });
  return std::make_unique<FastOp<Dot, std::uint8_t>>(fast, std::move(state));
}

inline std::unique_ptr<Op> make_residue_int8(const ResidueConv& conv) {
  const bool bytes = std::ranges::max(conv.moduli) <= residue::kLargestByteModulus;
  return bytes ? make_residue_with<Int8Dot>(conv) : make_residue_with<Int16Dot>(conv);
}

}  // namespace tilewise::TILEWISE_SET
