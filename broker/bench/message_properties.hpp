// SPDX-License-Identifier: Apache-2.0
//
// The encoded properties of a run's messages: one list for every kind of message, made once, so
// that sending costs no encoding; a message id is written over in its place. Only a headers
// exchange, where each binding has its own, is encoded message by message. Owned by a publisher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "broker/bench/body.hpp"
#include "broker/bench/workload.hpp"
#include "protocol/bytes.hpp"

namespace harrier::bench {

class MessageProperties {
 public:
  explicit MessageProperties(const Workload& workload);

  // Flags and values, as they follow the body size; good until the next call.
  protocol::ByteView of(const BodyHeader& header, std::uint32_t binding);
  // Of a message that a delaying exchange is to keep for longer than the run lasts.
  protocol::ByteView pending() const { return pending_; }

 private:
  std::vector<std::uint8_t> encode(std::uint32_t message_class, std::uint32_t binding) const;
  void write_id(const BodyHeader& header, std::vector<std::uint8_t>& encoded) const;

  const Workload& workload_;
  std::uint32_t classes_;
  bool by_headers_;
  std::vector<std::vector<std::uint8_t>> encoded_;  // by class; one alone for a headers exchange
  std::vector<std::uint8_t> pending_;
};

}  // namespace harrier::bench
