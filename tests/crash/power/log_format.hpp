// SPDX-License-Identifier: Apache-2.0
//
// The log of what a process did to the files below one directory, written by the recorder inside
// that process and read by the disk model. Values of one machine for one run, so native byte order.
// A flush has a begin and an end: it covers what was written before its begin, from its end on.
//
//   log    = record*
//   record = RecordHeader path{path_size} data{data_size}
#pragma once

#include <cstdint>

namespace harrier::power {

enum class Op : std::uint8_t {
  Create = 1,  // object, path: a new, empty file has this name
  Existing,    // object, path: a file that was there before the log began
  Write,       // object, offset, size, data (none if kZeros)
  Truncate,    // object, size: cut or grown with zeros to it
  Rename,      // object, path: the old name, data: the new one
  Unlink,      // object, path
  MakeDirectory,
  FlushBegin,  // offset: its number, object; 0: the directory `path`; kEverything
  FlushEnd,    // offset: its number
  MapFlush,    // object: msync, whose writes were not seen
  Mark,        // size: the number given to power_mark()
};

inline constexpr std::uint8_t kZeros = 1;    // flags: `size` zero bytes, not in the log
inline constexpr std::uint8_t kDurable = 2;  // flags: written through, as by O_DSYNC
inline constexpr std::uint64_t kEverything = ~std::uint64_t{0};

struct RecordHeader {
  std::uint64_t object = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t data_size = 0;
  std::uint32_t path_size = 0;
  Op op = Op::Mark;
  std::uint8_t flags = 0;
  std::uint16_t reserved = 0;
};

inline constexpr const char* kDirectoryVariable = "HARRIER_POWER_DIRECTORY";
inline constexpr const char* kLogVariable = "HARRIER_POWER_LOG";
inline constexpr const char* kMarkSymbol = "harrier_power_mark";  // void(std::uint64_t)

}  // namespace harrier::power
