// SPDX-License-Identifier: Apache-2.0
//
// What LMDB does not look at before it trusts a file: a header that would make it divide by zero,
// and pages that are missing at the end, which would end the process with SIGBUS when they are
// read. Called by whoever opens an environment, on its thread. Failure: a Status for the operator.
#pragma once

#include <string>

#include "persistence/lmdb.hpp"

namespace harrier::persistence::lmdb {

// Before Environment::open, which would make a new one of an empty file.
Status check_header(const std::string& path);
// After it, before anything is read.
Status check_length(Environment& environment, const std::string& path);
// The same for a file that must stay as it is, and that nobody writes while it is open.
Status check_length_read_only(Environment& environment, const std::string& path);
// Makes the file's content and its name durable.
Status flush_file(const std::string& path);

}  // namespace harrier::persistence::lmdb
