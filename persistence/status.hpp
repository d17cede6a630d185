// SPDX-License-Identifier: Apache-2.0
//
// Status: ok, or the text of what failed. A value: copied freely, owned by whoever holds it, used
// on any thread. For outcomes that an operator can cause (disk full, no permission, damaged file);
// what a programmer can cause is HARRIER_CHECK's business.
#pragma once

#include <string>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::persistence {

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  static Status failed(std::string error) {
    HARRIER_CHECK(!error.empty());
    Status status;
    status.error_ = std::move(error);
    return status;
  }

  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }  // empty if ok

  friend bool operator==(const Status&, const Status&) = default;

 private:
  std::string error_;
};

}  // namespace harrier::persistence
