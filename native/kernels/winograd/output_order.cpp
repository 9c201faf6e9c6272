#include "kernels/winograd/output_order.h"

#include <algorithm>
#include <iterator>

#define TILEWISE_SET winograd::programs

namespace tilewise::TILEWISE_SET {

// What the programs are made of.
template <int Factor>
float scaled(float v) {
  return v * static_cast<float>(Factor);
}
template <int Factor>
float plus(float sum, float v) {
  return sum + scaled<Factor>(v);
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/algorithms.h"
#include "kernels/tiles.h"

namespace tilewise::winograd {

std::vector<float> apply_ordered(std::span<const float> at, std::span<const float> column) {
  const std::size_t n = column.size();
  std::vector<float> sums(at.size() / n, 0.0F);
  bool named = false;
  programs::for_each_named([&]<class Algorithm>(std::type_identity<Algorithm>) {
    if (named || n != Algorithm::n || !std::ranges::equal(at, Algorithm::at)) return;
    named = true;
    Algorithm::template output<float>([&](int a) { return column[static_cast<std::size_t>(a)]; },
                                      [&](int i, float sum) { sums[static_cast<std::size_t>(i)] = sum; });
  });
  for (std::size_t i = 0; !named && i < sums.size(); ++i) {
    for (std::size_t a = 0; a < n; ++a) sums[i] += at[i * n + a] * column[a];
  }
  return sums;
}

namespace {

template <class Algorithm>
std::vector<float> tile_sums(std::span<const float> products) {
  std::vector<float> sums(Algorithm::m * Algorithm::m);
  programs::tile_output<float>(Algorithm(), [&](int tap) { return products[static_cast<std::size_t>(tap)]; },
                               [&](int place, float sum) { sums[static_cast<std::size_t>(place)] = sum; });
  return sums;
}

// Whether column by column the matrix holds what the program makes of unit vectors.
template <typename Program>
bool is_matrix(std::span<const float> matrix, std::size_t rows, std::size_t columns, const Program& program) {
  if (matrix.size() != rows * columns) return false;
  for (std::size_t column = 0; column < columns; ++column) {
    std::vector<float> unit(columns);
    unit[column] = 1;
    const std::vector<float> sums = program(unit);
    for (std::size_t row = 0; row < rows; ++row) {
      if (sums[row] != matrix[row * columns + column]) return false;
    }
  }
  return true;
}

}  // namespace

std::string_view planar_input(std::span<const float> bt) {
  std::string_view name;
  programs::for_each_planar([&]<class Algorithm>(std::type_identity<Algorithm>) {
    const auto program = [](std::span<const float> inputs) {
      std::vector<float> v(Algorithm::taps);
      programs::tile_input<float>(Algorithm(), [&](int place) { return inputs[static_cast<std::size_t>(place)]; },
                                  [&](int tap, float sum) { v[static_cast<std::size_t>(tap)] = sum; });
      return v;
    };
    if (is_matrix(bt, Algorithm::taps, Algorithm::t * Algorithm::t, program)) name = Algorithm::name;
  });
  return name;
}

std::string_view planar_output(std::span<const float> at) {
  std::string_view name;
  programs::for_each_planar([&]<class Algorithm>(std::type_identity<Algorithm>) {
    if (is_matrix(at, Algorithm::m * Algorithm::m, Algorithm::taps, tile_sums<Algorithm>)) name = Algorithm::name;
  });
  return name;
}

std::vector<float> apply_ordered_tile(std::string_view name, std::span<const float> at, std::span<const float> products) {
  std::vector<float> sums;
  programs::for_each_planar([&]<class Algorithm>(std::type_identity<Algorithm>) {
    if (name == Algorithm::name) sums = tile_sums<Algorithm>(products);
  });
  if (!sums.empty()) return sums;
  sums.resize(at.size() / products.size());
  for (std::size_t place = 0; place < at.size(); ++place)
    sums[place / products.size()] += at[place] * products[place % products.size()];
  return sums;
}

}  // namespace tilewise::winograd
