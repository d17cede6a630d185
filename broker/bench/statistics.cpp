// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace harrier::bench {
namespace {

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {values.front(), median, values.back()};
}

std::string format_figure(double value) {
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (size < 0.1) return fixed(value, 4);
  if (size < 10) return fixed(value, 2);
  if (size < 100) return fixed(value, 1);
  std::string text = fixed(value, 0);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, ",");
  return text;
}

std::string format_ratio(double ours, double theirs) {
  if (ours == 0 || theirs == 0) return "-";
  return "x" + fixed(ours / theirs, 2);
}

}  // namespace harrier::bench
