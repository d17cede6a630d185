// SPDX-License-Identifier: Apache-2.0
//
// What waits to be sent on one socket: bytes of our own, with stretches of foreign memory (the
// filler of large bodies) in between that are never copied. Owned by its connection. What is given
// by reference must stay where it is for as long as the connection lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "protocol/bytes.hpp"

namespace harrier::bench {

class Output {
 public:
  // Room for `size` bytes at the end; commit() says how many of them were written.
  std::uint8_t* reserve(std::size_t size);
  void commit(std::size_t size) { used_ += size; }
  void append(protocol::ByteView bytes);
  void refer(protocol::ByteView bytes);

  bool empty() const { return pending() == 0; }
  std::size_t pending() const { return used_ + referred_ - sent_; }

  enum class Flush { Done, Blocked, Failed };  // Failed: errno says why
  Flush flush(int socket);

 private:
  struct Reference {
    std::size_t at;  // after so many bytes of our own
    protocol::ByteView bytes;
  };
  void clear();
  bool send_once(int socket, bool& blocked);

  std::vector<std::uint8_t> own_;
  std::vector<Reference> references_;
  std::size_t used_ = 0;      // of own_
  std::size_t referred_ = 0;  // bytes
  std::size_t sent_ = 0;      // of both
};

}  // namespace harrier::bench
