// SPDX-License-Identifier: Apache-2.0
//
// How an inspection of a data directory is printed: as text for people, as JSON for programs. Pure
// functions. Names are what clients chose, so text shows control characters escaped, and JSON puts
// the replacement character for what is not UTF-8.
#pragma once

#include <ostream>
#include <string>

#include "persistence/inspect.hpp"

namespace harrier::broker {

void print_text(const std::string& directory, const persistence::Inspection& found,
                std::ostream& out);
void print_json(const std::string& directory, const persistence::Inspection& found,
                std::ostream& out);

std::string size_text(std::uint64_t bytes);                        // "12.3 MiB"
std::string position_text(persistence::JournalPosition position);  // "segment 3, offset 8192"

}  // namespace harrier::broker
