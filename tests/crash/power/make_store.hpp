// SPDX-License-Identifier: Apache-2.0
//
// The stores that the power test can be run over, by name. A new store is one line in
// make_store.cpp.
#pragma once

#include <memory>
#include <string>

#include "persistence/message_store.hpp"

namespace harrier::power {

// An empty or used directory; recover() has not been called. Throws std::invalid_argument for a
// name that does not exist, and whatever the store does if it cannot open.
std::unique_ptr<persistence::MessageStore> make_store(const std::string& name,
                                                      const std::string& directory);

}  // namespace harrier::power
