// SPDX-License-Identifier: Apache-2.0
//
// copy_living: a copy of the directory of a store that is open, as if its process had been killed
// now. A store makes its next journal file ready in the background, and may give an old one a new
// name for that: a copy that misses one is begun again. It may also delete garbage from its image:
// a copy that has a part of a commit is begun again. Nothing may be committed by others meanwhile.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace harrier::store_tests {

// What was copied of a file that has changed since may be of two moments.
inline bool is_copy(const std::filesystem::path& copy, const std::filesystem::path& original) {
  std::ifstream a(copy, std::ios::binary);
  std::ifstream b(original, std::ios::binary);
  using Bytes = std::istreambuf_iterator<char>;
  return std::equal(Bytes(a), Bytes(), Bytes(b), Bytes());
}

inline void copy_living(const std::filesystem::path& from, const std::filesystem::path& to) {
  const char* const image = "store.mdb";
  std::error_code error;
  do {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive, error);
  } while ((error == std::errc::no_such_file_or_directory && std::filesystem::exists(from)) ||
           (!error && !is_copy(to / image, from / image)));
  if (error) throw std::filesystem::filesystem_error("cannot copy", from, to, error);
}

}  // namespace harrier::store_tests
