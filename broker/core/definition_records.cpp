// SPDX-License-Identifier: Apache-2.0
#include "broker/core/definition_records.hpp"

namespace harrier::broker {

using persistence::Kind;

namespace {

persistence::BindingDefinition definition_of(const routing::Binding& binding) {
  return {binding.source, binding.destination, binding.to_exchange, binding.routing_key,
          binding.arguments};
}

}  // namespace

persistence::Record define(const std::string& vhost, const routing::Exchange& exchange) {
  const persistence::ExchangeDefinition definition{std::string(routing::name(exchange.type)),
                                                   exchange.auto_delete, exchange.internal,
                                                   exchange.arguments};
  return persistence::define(vhost, exchange.name, definition);
}

// A durable queue is never exclusive (C-215).
persistence::Record define(const std::string& vhost, const routing::QueueEntry& queue) {
  const persistence::QueueDefinition definition{
      persistence::QueueId{static_cast<std::uint64_t>(queue.id)}, queue.auto_delete, false,
      queue.arguments};
  return persistence::define(vhost, queue.name, definition);
}

persistence::Record define(const std::string& vhost, const routing::Binding& binding) {
  return persistence::define(vhost, definition_of(binding));
}

persistence::Record forget(const std::string& vhost, const routing::Exchange& exchange) {
  return persistence::Forget{Kind::Exchange, vhost, exchange.name};
}

persistence::Record forget(const std::string& vhost, const routing::QueueEntry& queue) {
  return persistence::Forget{Kind::Queue, vhost, queue.name};
}

persistence::Record forget(const std::string& vhost, const routing::Binding& binding) {
  return persistence::forget(vhost, definition_of(binding));
}

namespace {

std::string expiring_name(routing::QueueId id) {
  return std::string(kExpiringPrefix) + std::to_string(static_cast<std::uint64_t>(id));
}

}  // namespace

persistence::Record define_expiring(routing::QueueId id) {
  return persistence::Define{persistence::Kind::Counter, "", expiring_name(id), {}};
}

persistence::Record forget_expiring(routing::QueueId id) {
  return persistence::Forget{persistence::Kind::Counter, "", expiring_name(id)};
}

}  // namespace harrier::broker
