// SPDX-License-Identifier: Apache-2.0
//
// What a run declares at the broker, and its removal: names that no other run has, the exchange,
// the queues, the bindings with their keys. Owned by a run; speaks over a connection of its own.
#pragma once

#include <cstdint>
#include <string>

#include "broker/bench/connection.hpp"
#include "broker/bench/workload.hpp"

namespace harrier::bench {

std::uint64_t random_run();  // the number that sets a run apart

class Names {
 public:
  explicit Names(std::uint64_t run);
  std::string queue(std::uint32_t index) const { return prefix_ + "." + std::to_string(index); }
  std::string dead_letters(std::uint32_t index) const { return queue(index) + ".dead"; }
  const std::string& exchange() const { return prefix_; }

 private:
  std::string prefix_;
};

// Keys such that a message whose routing key belongs to binding i matches this binding and no
// other. Wildcard bindings take turns at a.*.x, *.b.y and #.c; `variety` fills the wildcards.
std::string binding_key(const std::string& exchange_type, std::uint32_t binding);
void routing_key(const std::string& exchange_type, std::uint32_t binding, std::uint32_t variety,
                 std::string& out);
// The same for a headers exchange.
protocol::Table binding_headers(std::uint32_t binding);
inline constexpr const char* kBindingHeader = "binding";

// Beside those of the workload: the queue type.
protocol::Table queue_arguments(const Workload& workload);

// Queues of type stream keep what was received.
bool keeps_all(const Workload& workload);

class Setup final : public ConnectionEvents {
 public:
  Setup(Loop& loop, const Endpoint& endpoint, const Workload& workload, const Names& names);

  void open();
  void declare();  // once open
  // Deletes everything. Returns how many messages the queues still held.
  std::uint64_t remove();
  double bind_seconds() const { return bind_seconds_; }
  std::uint32_t bindings() const { return bindings_; }
  const std::string& product() const { return connection_.product(); }
  void close();

  void on_reply(protocol::MethodId id, protocol::ByteView payload) override;

 private:
  void wait(std::uint64_t unanswered_max);
  void declare_queues();
  void declare_queue(const std::string& name, protocol::TableView arguments);
  void delete_queue(const std::string& name);
  void bind();

  Loop& loop_;
  const Workload& workload_;
  const Names& names_;
  std::string routing_type_;
  Connection connection_;
  double stall_s_;
  std::uint32_t bindings_;
  std::uint64_t left_over_ = 0;
  double bind_seconds_ = 0;
};

// After a run that failed: a connection of its own that removes what may still be there. Returns
// what went wrong, or "".
std::string clean_up(const Endpoint& endpoint, const Workload& workload, const Names& names);

}  // namespace harrier::bench
