// SPDX-License-Identifier: Apache-2.0
//
// The two ways in which a round ends early. Violation: the broker broke a promise, the test fails.
// Gone: the connection ended, because the broker was killed; what happens then is the round's
// business. Values, thrown on the test's only thread.
#pragma once

#include <stdexcept>
#include <string>

namespace harrier::crash_tests {

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Gone : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void require(bool holds, const std::string& what) {
  if (!holds) throw Violation(what);
}

}  // namespace harrier::crash_tests
