// SPDX-License-Identifier: Apache-2.0
//
// One consuming connection: checks every delivery against the ledger, times it, acknowledges in
// batches. Owned by a run, on the loop's thread; a broken connection throws.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/bench/publisher.hpp"

namespace harrier::bench {

class Consumer final : public ConnectionEvents {
 public:
  Consumer(const RunContext& run, std::uint32_t index);

  Connection& connection() { return connection_; }
  void prepare();          // once open: prefetch, consume
  void acknowledge_all();  // what is left of the last batch

  void on_deliver(const protocol::BasicDeliver& deliver) override;
  void on_header(std::uint64_t body_size, protocol::ByteView properties) override;
  void on_body(protocol::ByteView piece) override { check_.feed(piece); }
  void on_delivered() override;

 private:
  const RunContext& run_;
  Connection connection_;
  std::vector<Ledger::View> views_;
  BodyCheck check_;
  std::size_t view_ = 0;  // of the delivery that is coming in
  std::uint64_t tag_ = 0;
  std::uint64_t body_size_ = 0;
  bool redelivered_ = false;
  std::uint32_t unacknowledged_ = 0;
};

}  // namespace harrier::bench
