// SPDX-License-Identifier: Apache-2.0
//
// Medians and spreads over repeated runs, and figures as people read them. Pure functions.
#pragma once

#include <string>
#include <vector>

namespace harrier::bench {

struct Spread {
  double min = 0, median = 0, max = 0;
  // How far the runs lie apart, as a share of the median: (max - min) / median; 0 without a median.
  double relative() const { return median == 0 ? 0 : (max - min) / median; }
  friend bool operator==(const Spread&, const Spread&) = default;
};

// The median of an even number of values is the mean of the middle two; all 0 for no values.
Spread spread_of(std::vector<double> values);

// Three significant digits at least, thousands separated: 0.0123, 4.56, 78.9, 1,234, 850,000.
std::string format_figure(double value);

// "x2.31"; "-" if one of the two is missing (0).
std::string format_ratio(double ours, double theirs);

}  // namespace harrier::bench
