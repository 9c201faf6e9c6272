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

namespace tilewise::winograd {

std::vector<float> apply_in_order(std::span<const float> at, std::span<const float> column) {
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

}  // namespace tilewise::winograd
