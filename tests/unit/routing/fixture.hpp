// SPDX-License-Identifier: Apache-2.0
//
// Broker: a registry and a router under names instead of ids, as the tests of this folder speak.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/field_table.hpp"
#include "routing/registry.hpp"
#include "routing/router.hpp"
#include "routing/topology.hpp"

namespace harrier::routing_tests {

using Names = std::vector<std::string>;  // sorted

struct ExchangeOptions {
  bool auto_delete = false;
  bool internal = false;
  std::optional<std::string> alternate = std::nullopt;
  protocol::Table arguments = {};
};

// Routes against any snapshot; the result is sorted.
inline Names route_on(routing::Router& router, const routing::Topology& topology,
                      std::string_view exchange, std::string_view key, const Names& extra_keys = {},
                      const protocol::Table& headers = {},
                      const protocol::PropertiesView& properties = {}) {
  routing::RouteRequest request;
  request.exchange = topology.find_exchange(exchange);
  request.routing_key = key;
  request.extra_keys = extra_keys;
  request.headers = headers;
  request.properties = properties;
  std::vector<routing::QueueId> out{routing::QueueId{12345}};  // route() replaces what is there
  router.route(topology, request, out);
  Names names;
  for (const routing::QueueId id : out) names.push_back(topology.find_queue(id)->name);
  std::sort(names.begin(), names.end());
  return names;
}

struct Broker {
  routing::Registry registry;
  routing::Router router;
  std::uint64_t next_queue_id = 1;

  routing::QueueId queue(std::string name, std::uint64_t owner = 0) {
    routing::QueueEntry entry;
    entry.id = static_cast<routing::QueueId>(next_queue_id++);
    entry.name = std::move(name);
    entry.owner = owner;
    const routing::QueueId id = entry.id;
    registry.add_queue(std::move(entry));
    return id;
  }

  void exchange(std::string name, routing::ExchangeType type, ExchangeOptions options = {}) {
    routing::Exchange made;
    made.name = std::move(name);
    made.type = type;
    made.auto_delete = options.auto_delete;
    made.internal = options.internal;
    made.alternate = std::move(options.alternate);
    made.arguments = std::move(options.arguments);
    registry.add_exchange(std::move(made));
  }

  static routing::Binding binding(std::string source, std::string destination, std::string key,
                                  protocol::Table arguments = {}, bool to_exchange = false) {
    return {std::move(source), std::move(destination), to_exchange, std::move(key),
            std::move(arguments)};
  }

  bool bind(std::string source, std::string queue_name, std::string key,
            protocol::Table arguments = {}) {
    return registry.bind(
        binding(std::move(source), std::move(queue_name), std::move(key), std::move(arguments)));
  }
  bool bind_exchange(std::string source, std::string destination, std::string key,
                     protocol::Table arguments = {}) {
    return registry.bind(binding(std::move(source), std::move(destination), std::move(key),
                                 std::move(arguments), true));
  }
  routing::Removed unbind(std::string source, std::string queue_name, std::string key,
                          protocol::Table arguments = {}) {
    return registry.unbind(
        binding(std::move(source), std::move(queue_name), std::move(key), std::move(arguments)));
  }
  routing::Removed unbind_exchange(std::string source, std::string destination, std::string key) {
    return registry.unbind(
        binding(std::move(source), std::move(destination), std::move(key), {}, true));
  }

  Names route(std::string_view exchange, std::string_view key, const Names& extra_keys = {},
              const protocol::Table& headers = {},
              const protocol::PropertiesView& properties = {}) {
    return route_on(router, *registry.snapshot(), exchange, key, extra_keys, headers, properties);
  }
};

}  // namespace harrier::routing_tests
