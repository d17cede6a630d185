// SPDX-License-Identifier: Apache-2.0
//
// copy_living: a copy of the directory of a store that is open, as if its process had been killed
// now. A store makes its next journal file ready in the background, and may give an old one a new
// name for that: a copy that misses one is begun again. Nothing may be committed meanwhile.
#pragma once

#include <filesystem>
#include <system_error>

namespace harrier::store_tests {

inline void copy_living(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  do {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive, error);
  } while (error == std::errc::no_such_file_or_directory && std::filesystem::exists(from));
  if (error) throw std::filesystem::filesystem_error("cannot copy", from, to, error);
}

}  // namespace harrier::store_tests
