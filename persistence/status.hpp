// SPDX-License-Identifier: Apache-2.0
//
// Status: ok, or the text of what failed. A value: copied freely, owned by whoever holds it, used
// on any thread. For outcomes that an operator can cause (disk full, no permission, damaged file);
// what a programmer can cause is HARRIER_CHECK's business. `full` is apart from the rest because it
// passes: the same write may succeed later.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "protocol/check.hpp"

namespace harrier::persistence {

// How the message about a file that cannot be repaired ends.
inline constexpr std::string_view kRestoreRemedy = "; restore the data directory from a backup";

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  static Status failed(std::string error) {
    HARRIER_CHECK(!error.empty());
    Status status;
    status.error_ = std::move(error);
    return status;
  }
  // No room on the device, or none left of a quota.
  static Status full(std::string error) {
    Status status = failed(std::move(error));
    status.full_ = true;
    return status;
  }

  bool ok() const { return error_.empty(); }
  bool is_full() const { return full_; }
  const std::string& error() const { return error_; }  // empty if ok

  friend bool operator==(const Status&, const Status&) = default;

 private:
  std::string error_;
  bool full_ = false;
};

}  // namespace harrier::persistence
