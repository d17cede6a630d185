// SPDX-License-Identifier: Apache-2.0
//
// One consuming connection: checks every delivery against the ledger, times it, acknowledges in
// batches, on request no faster than at a rate, or rejects all into a dead letter queue. Owned by
// a run, on the loop's thread; a broken connection throws.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/bench/publisher.hpp"

namespace harrier::bench {

class Consumer final : public ConnectionEvents {
 public:
  enum class Role {
    Receives,             // from the queues that are published to
    Rejects,              // from these; nothing of it is in the books
    ReceivesDeadLetters,  // what others have rejected
  };
  Consumer(const RunContext& run, std::uint32_t index, Role role = Role::Receives);

  Connection& connection() { return connection_; }
  void prepare();          // once open: prefetch, consume
  void acknowledge_all();  // what is left of the last batch
  // With a limited rate or a standing backlog: acknowledges what is due, and returns when the
  // next is.
  std::uint64_t pump(std::uint64_t now_ns);
  void lift_limit();  // from now on as fast as it goes

  void on_deliver(const protocol::BasicDeliver& deliver) override;
  void on_header(std::uint64_t body_size, protocol::ByteView properties) override;
  void on_body(protocol::ByteView piece) override { check_.feed(piece); }
  void on_delivered() override;
  void on_batch_end() override;

 private:
  void check_delivery();
  void acknowledge_now();
  bool free_to_acknowledge() const { return rate_ == 0 && !keeps_backlog(); }
  bool keeps_backlog() const { return limited_ && run_.ledger.underway() < run_.workload.standing; }
  void acknowledge(std::uint64_t up_to);

  const RunContext& run_;
  Role role_;
  Connection connection_;
  std::vector<Ledger::View> views_;
  BodyCheck check_;
  std::size_t view_ = 0;  // of the delivery that is coming in
  std::uint64_t tag_ = 0;
  std::uint64_t body_size_ = 0;
  bool redelivered_ = false;
  std::uint64_t acknowledged_ = 0;  // the last tag that was
  bool limited_ = true;             // until the publishers have stopped
  double rate_ = 0;                 // messages/s; 0: no limit
  std::uint64_t limited_since_ns_ = 0;
};

}  // namespace harrier::bench
