// SPDX-License-Identifier: Apache-2.0
//
// Registry: the mutable truth of one virtual host's definitions, owned by the control shard and
// touched only there. It keeps the indexes that changes need (bindings by source and by
// destination, queues by owner) and cuts a new Topology from every change. It decides nothing about
// permissions, equivalence or names: callers have checked those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/topology.hpp"

namespace harrier::routing {

// What a change took with it: auto-delete exchanges whose last outgoing binding went, and every
// binding that is gone.
struct Removed {
  std::vector<Exchange> exchanges;
  std::vector<Binding> bindings;
};

// What the source's type asks of a binding: throws AmqpError 406 for a key, arguments or a
// destination that it refuses (C-185, C-499, C-506, C-522), with the pattern grammar's message for
// a bad pattern. `queue` is null where the destination is an exchange.
void check_binding(const Exchange& source, const Binding& binding, const QueueEntry* queue);

class Registry {
 public:
  Registry();  // with the predeclared exchanges of C-150
  ~Registry();

  // The snapshot after the latest change; cut lazily, so that several changes in a row cost one
  // cut.
  TopologyPtr snapshot();
  std::uint64_t version() const;

  const Exchange* find_exchange(std::string_view name) const;
  const QueueEntry* find_queue(std::string_view name) const;
  const QueueEntry* find_queue(QueueId id) const;

  // Preconditions: the name is free. Ids are given by the registry for exchanges, by the caller for
  // queues. Throws AmqpError 406 for arguments that the exchange's type refuses.
  const Exchange& add_exchange(Exchange exchange);
  QueueEntryPtr add_queue(QueueEntry queue);

  // Where what nobody takes goes from now on (C-200). Preconditions: the name exists. True if that
  // changes anything.
  bool set_alternate(std::string_view exchange, std::optional<std::string> alternate);

  // What the queue has been declared with, from now on. Preconditions: the name exists.
  QueueEntryPtr set_arguments(std::string_view queue, protocol::Table arguments);
  // The same as set_alternate() for what is deduplicated.
  bool set_dedup(std::string_view exchange, DedupRule rule);
  // Where messages wait that ask for it; 0: they do not any more. The same preconditions and
  // result.
  bool set_delay_queue(std::string_view exchange, QueueId queue);
  // Where its last messages are kept. The same again.
  bool set_history_queue(std::string_view exchange, QueueId queue);

  // Preconditions: the name exists. Bindings from and to it go too, and so on upstream (C-173,
  // C-190, C-191).
  Removed remove_exchange(std::string_view name);
  Removed remove_queue(std::string_view name);

  bool has_bindings_from(std::string_view exchange) const;  // C-172

  // Throws what check_binding() does.
  // Preconditions: source and destination exist. True if the binding is new (C-174).
  bool bind(const Binding& binding);
  bool has(const Binding& binding) const;
  Removed unbind(const Binding& binding);  // empty if there is no such binding (C-178, C-179)

  std::vector<QueueId> queues_of(std::uint64_t owner) const;
  void for_each_exchange(const std::function<void(const Exchange&)>& visit) const;
  void for_each_queue(const std::function<void(const QueueEntry&)>& visit) const;
  void for_each_binding(
      const std::function<void(const Binding&)>& visit) const;  // without the implicit ones (C-187)
  std::size_t binding_count() const;
  std::size_t queue_count() const;  // without hidden ones

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace harrier::routing
