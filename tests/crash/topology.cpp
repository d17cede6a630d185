// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/topology.hpp"

#include <array>
#include <variant>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {
namespace {

constexpr const char* kVolatileQueue = "volatile.queue";
constexpr const char* kVolatileExchange = "volatile.exchange";
constexpr std::array<const char*, Topology::kExchanges> kTypes = {"direct", "topic", "headers"};

std::string queue_name(int queue) { return "built.queue." + std::to_string(queue); }
std::string exchange_name(int exchange) { return "built.exchange." + std::to_string(exchange); }

// Different for every queue, so that a definition that comes back with another's is noticed.
protocol::Table queue_arguments(int queue) {
  protocol::Table arguments;
  arguments.add_int32("x-max-length", 1000 + queue);
  arguments.add("x-dead-letter-exchange", "dead." + std::to_string(queue));
  return arguments;
}

// The headers exchange binds by these, the others by their key; each finds one queue only.
protocol::Table binding_arguments(int queue) {
  protocol::Table arguments;
  arguments.add("x-match", "all");
  arguments.add_int32("to", queue);
  return arguments;
}

protocol::QueueDeclare declare_queue(const std::string& name, protocol::TableView arguments) {
  protocol::QueueDeclare declare;
  declare.queue = name;
  declare.durable = true;
  declare.arguments = arguments;
  return declare;
}

protocol::ExchangeDeclare declare_exchange(const std::string& name, int exchange) {
  protocol::ExchangeDeclare declare;
  declare.exchange = name;
  declare.type = kTypes[static_cast<std::size_t>(exchange)];
  declare.durable = true;
  return declare;
}

bool queue_exists(Client& client, const std::string& name) {
  const Answer answer = client.look_at(name);
  require(answer.ok() || answer.code == 404, "queue " + name + ": " + answer.text);
  return answer.ok();
}

bool exchange_exists(Client& client, const std::string& name) {
  protocol::ExchangeDeclare passive;
  passive.exchange = name;
  passive.passive = true;
  const Answer answer = client.call(passive);
  require(answer.ok() || answer.code == 404, "exchange " + name + ": " + answer.text);
  return answer.ok();
}

void compare(Known& known, bool exists, const std::string& what) {
  require(known != Known::Present || exists, what + " was answered for and is missing");
  require(known != Known::Absent || !exists, what + " is back, or was never made");
  known = exists ? Known::Present : Known::Absent;
}

// A mandatory message that no binding takes comes back, before its confirm.
class Prober {
 public:
  explicit Prober(std::uint16_t port)
      : client_(port, [this](const protocol::Method& method, const Content&) {
          if (std::holds_alternative<protocol::BasicReturn>(method)) returned_ = true;
        }) {}

  Client& client() { return client_; }
  bool routes(int exchange, int queue) {
    protocol::Properties properties;
    properties.headers.emplace().add_int32("to", queue);
    returned_ = false;
    client_.publish(exchange_name(exchange), "to." + std::to_string(queue), true,
                    properties.encode(), protocol::as_bytes("probe"));
    // Answered behind the return: methods of one channel are handled in order.
    client_.call(protocol::BasicQos{});
    return !returned_;
  }

 private:
  bool returned_ = false;
  Client client_;
};

void check_definitions(Client& client, Topology& topology) {
  for (auto& [queue, known] : topology.queues) {
    const std::string name = queue_name(queue);
    compare(known, queue_exists(client, name), "queue " + name);
    if (known != Known::Present) continue;
    const protocol::Table arguments = queue_arguments(queue);
    const Answer answer = client.call(declare_queue(name, arguments));
    require(answer.ok(), "queue " + name + " has changed: " + answer.text);
  }
  for (auto& [exchange, known] : topology.exchanges) {
    const std::string name = exchange_name(exchange);
    compare(known, exchange_exists(client, name), "exchange " + name);
    if (known != Known::Present) continue;
    const Answer answer = client.call(declare_exchange(name, exchange));
    require(answer.ok(), "exchange " + name + " has changed: " + answer.text);
  }
}

void check_volatile(Client& client) {
  require(!queue_exists(client, kVolatileQueue), "a non-durable queue outlived a restart");
  require(!exchange_exists(client, kVolatileExchange), "a non-durable exchange outlived a restart");
  protocol::QueueDeclare queue;
  queue.queue = kVolatileQueue;
  require(client.call(queue).ok(), "a non-durable queue cannot be declared");
  protocol::ExchangeDeclare exchange;
  exchange.exchange = kVolatileExchange;
  require(client.call(exchange).ok(), "a non-durable exchange cannot be declared");
}

}  // namespace

void Topology::queue_becomes(int queue, Known known) {
  queues[queue] = known;
  if (known == Known::Present) return;
  for (auto& [ends, binding] : bindings) {
    if (ends.second == queue && binding != Known::Absent) binding = known;
  }
}

void Topology::exchange_becomes(int exchange, Known known) {
  exchanges[exchange] = known;
  if (known == Known::Present) return;
  for (auto& [ends, binding] : bindings) {
    if (ends.first == exchange && binding != Known::Absent) binding = known;
  }
}

void check_topology(World& world, Topology& topology) {
  Prober prober(world.port);
  check_definitions(prober.client(), topology);
  for (auto& [ends, known] : topology.bindings) {
    const auto [exchange, queue] = ends;
    if (topology.exchanges[exchange] != Known::Present) {
      require(known != Known::Present, "the test takes a binding of nothing for present");
      known = Known::Absent;
      continue;
    }
    compare(known, prober.routes(exchange, queue),
            "the binding of " + queue_name(queue) + " to " + exchange_name(exchange));
  }
  for (const auto& [queue, known] : topology.queues) {
    if (known != Known::Present) continue;
    const std::string name = queue_name(queue);
    protocol::QueuePurge purge;  // the probes
    purge.queue = name;
    prober.client().call(purge);
  }
  if (!world.spare) check_volatile(prober.client());
}

Builder::Builder(World& world, Topology& topology) : Actor(world), topology_(topology) {}

void Builder::step() {
  if (change_ || !may_send()) return;
  Change change;
  change.what = static_cast<Change::What>(world_.dice.below(3));
  change.make = world_.dice.below(5) < 3;
  change.exchange = static_cast<int>(world_.dice.below(Topology::kExchanges));
  change.queue = static_cast<int>(world_.dice.below(Topology::kQueues));
  const bool both_ends = topology_.queues[change.queue] == Known::Present &&
                         topology_.exchanges[change.exchange] == Known::Present;
  if (change.what == Change::What::Binding && !both_ends) return;
  note(change, Known::Unknown);
  change_ = change;
  send(change);
}

void Builder::note(const Change& change, Known known) {
  if (change.what == Change::What::Queue) {
    // Making what is there changes nothing, answered or not.
    if (change.make && topology_.queues[change.queue] == Known::Present) return;
    topology_.queue_becomes(change.queue, known);
  } else if (change.what == Change::What::Exchange) {
    if (change.make && topology_.exchanges[change.exchange] == Known::Present) return;
    topology_.exchange_becomes(change.exchange, known);
  } else {
    Known& binding = topology_.bindings[{change.exchange, change.queue}];
    if (change.make && binding == Known::Present) return;
    binding = known;
  }
}

void Builder::send(const Change& change) {
  const std::string queue = queue_name(change.queue);
  const std::string exchange = exchange_name(change.exchange);
  const std::string key = "to." + std::to_string(change.queue);
  const protocol::Table arguments = binding_arguments(change.queue);
  if (change.what == Change::What::Queue && change.make) {
    const protocol::Table wanted = queue_arguments(change.queue);
    client_.send(declare_queue(queue, wanted));
  } else if (change.what == Change::What::Queue) {
    protocol::QueueDelete remove;
    remove.queue = queue;
    client_.send(remove);
  } else if (change.what == Change::What::Exchange && change.make) {
    client_.send(declare_exchange(exchange, change.exchange));
  } else if (change.what == Change::What::Exchange) {
    protocol::ExchangeDelete remove;
    remove.exchange = exchange;
    client_.send(remove);
  } else if (change.make) {
    protocol::QueueBind bind;
    bind.queue = queue;
    bind.exchange = exchange;
    bind.routing_key = key;
    bind.arguments = arguments;
    client_.send(bind);
  } else {
    protocol::QueueUnbind unbind;
    unbind.queue = queue;
    unbind.exchange = exchange;
    unbind.routing_key = key;
    unbind.arguments = arguments;
    client_.send(unbind);
  }
}

void Builder::on_method(const protocol::Method& method, const Content&) {
  require(change_.has_value(), "a building client got " + protocol::print(method));
  const Change change = *change_;
  change_.reset();
  note(change, change.make ? Known::Present : Known::Absent);
}

}  // namespace harrier::crash_tests
