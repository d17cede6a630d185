// SPDX-License-Identifier: Apache-2.0
//
// Router: resolves one publish against a topology snapshot. One per shard, used on its thread only;
// it keeps scratch space and the shard's route cache, which is valid for one topology version. It
// allocates nothing on a cache hit.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/field_table.hpp"
#include "protocol/message.hpp"
#include "protocol/properties.hpp"
#include "routing/topology.hpp"

namespace harrier::routing {

struct RouteRequest {
  const Exchange* exchange = nullptr;  // of the same snapshot
  std::string_view routing_key;
  std::span<const std::string> extra_keys;  // CC and BCC
  protocol::TableView headers;              // looked at by headers exchanges and hash-header
  protocol::PropertiesView properties{};    // looked at by hash-property
  bool delays = true;                       // where it asks for that; false once it has waited
  bool wishes = true;  // to cancel and replace; false for a dead letter: it has been carried out
};

// As the message says, which must live as long.
inline RouteRequest request_for(const Exchange& exchange, const protocol::Message& message,
                                std::span<const std::string> extra_keys = {}) {
  RouteRequest request;
  request.exchange = &exchange;
  request.routing_key = message.routing_key();
  request.extra_keys = extra_keys;
  request.properties = message.properties();
  if (request.properties.has(protocol::kHeaders)) request.headers = request.properties.headers();
  return request;
}

class Router {
 public:
  // The choices of the random exchange types follow from the seed.
  explicit Router(std::uint64_t seed = 0);
  ~Router();

  // Replaces `out` by the ids of every queue that gets a copy, each once (C-188, C-198), following
  // exchange-to-exchange bindings (cycles end, C-189) and, where an exchange yields no destination
  // at all, its alternate exchange (C-200). Where an exchange delays what asks for it, it yields
  // nothing but the queue where it waits. Where one keeps a history, the queue of that is among
  // them; false if there are no others: unroutable.
  bool route(const Topology& topology, const RouteRequest& request, std::vector<QueueId>& out);
  // The same for what has been through that exchange already and is not to come back to it.
  void route_onward(const Topology& topology, const RouteRequest& request, ExchangeId past,
                    std::vector<QueueId>& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace harrier::routing
