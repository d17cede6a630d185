// SPDX-License-Identifier: Apache-2.0
//
// What a script declared, so that nothing of it stays in a broker that is shared: deleted through a
// connection of its own after the script's connections are gone. Failure to clean up is reported as
// a warning, not as the script's failure.
#pragma once

#include <set>
#include <string>

#include "protocol/methods.hpp"
#include "tests/scripts/runner_target.hpp"

namespace harrier::scripts {

class Cleanup {
 public:
  void note_sent(const protocol::Method& method);
  void note_received(const protocol::Method& method);

  // Empty if everything is gone.
  std::string run(const Target& target) const;

 private:
  std::set<std::string> queues_;
  std::set<std::string> exchanges_;
};

}  // namespace harrier::scripts
