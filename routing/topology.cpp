// SPDX-License-Identifier: Apache-2.0
#include "routing/topology.hpp"

#include <array>
#include <utility>

#include "protocol/error.hpp"
#include "routing/delay.hpp"
#include "routing/recent_history.hpp"
#include "routing/topology_data.hpp"

namespace harrier::routing {
namespace {

constexpr std::array<std::pair<ExchangeType, std::string_view>, 11> kTypeNames{{
    {ExchangeType::Direct, "direct"},
    {ExchangeType::Fanout, "fanout"},
    {ExchangeType::Topic, "topic"},
    {ExchangeType::Headers, "headers"},
    {ExchangeType::ConsistentHash, "x-consistent-hash"},
    {ExchangeType::ModulusHash, "x-modulus-hash"},
    {ExchangeType::Random, "x-random"},
    {ExchangeType::LocalRandom, "x-local-random"},
    {ExchangeType::MessageDeduplication, "x-message-deduplication"},
    {ExchangeType::Delayed, "x-delayed-message"},
    {ExchangeType::RecentHistory, "x-recent-history"},
}};

[[noreturn]] void refuse(std::string text) {
  throw protocol::AmqpError(protocol::ReplyCode::PreconditionFailed, std::move(text));
}

// Throws for what no exchange can wrap (C-510).
ExchangeType wrapped_type(protocol::TableView arguments) {
  const auto value = arguments.find(kDelayedTypeArgument);
  const auto text = value ? value->as_text() : std::nullopt;
  const auto type = text ? parse_exchange_type(*text) : std::nullopt;
  if (!type) {
    refuse("Invalid argument, '" + std::string(kDelayedTypeArgument) +
           "' must be an existing exchange type");
  }
  if (*type == ExchangeType::Delayed) {
    refuse("Invalid argument, '" + std::string(name(*type)) + "' can't be used for '" +
           std::string(kDelayedTypeArgument) + "'");
  }
  return *type;
}

}  // namespace

std::string_view name(ExchangeType type) {
  for (const auto& [known, text] : kTypeNames) {
    if (known == type) return text;
  }
  return {};
}

std::optional<ExchangeType> parse_exchange_type(std::string_view name) {
  for (const auto& [type, text] : kTypeNames) {
    if (text == name) return type;
  }
  return std::nullopt;
}

ExchangeType routing_type(const Exchange& exchange) {
  return exchange.type == ExchangeType::Delayed ? wrapped_type(exchange.arguments) : exchange.type;
}

void check_type_arguments(ExchangeType type, protocol::TableView arguments) {
  if (type == ExchangeType::Delayed) type = wrapped_type(arguments);
  if (type == ExchangeType::ConsistentHash) parse_hash_source(arguments);
  if (type == ExchangeType::RecentHistory) parse_history_length(arguments);
}

Matcher make_matcher(ExchangeType type, protocol::TableView arguments) {
  switch (type) {
    case ExchangeType::Direct:
      return DirectMatcher{};
    case ExchangeType::Fanout:
    case ExchangeType::MessageDeduplication:
      return FanoutMatcher{};
    case ExchangeType::Topic:
      return TopicMatcher{};
    case ExchangeType::Headers:
      return HeadersMatcher{};
    case ExchangeType::ConsistentHash:
      return ConsistentHashMatcher(parse_hash_source(arguments));
    case ExchangeType::ModulusHash:
      return ModulusHashMatcher{};
    case ExchangeType::Random:
    case ExchangeType::LocalRandom:
      return RandomMatcher{};
    case ExchangeType::Delayed:
      return make_matcher(wrapped_type(arguments), arguments);
    case ExchangeType::RecentHistory:
      parse_history_length(arguments);
      return FanoutMatcher{};
  }
  return DirectMatcher{};
}

const Exchange* TopologyData::find_exchange(std::string_view name) const {
  const std::shared_ptr<const Exchange>* found = exchanges_by_name.find(name);
  return found == nullptr ? nullptr : found->get();
}

const ExchangeNode* TopologyData::find_exchange(ExchangeId id) const {
  const Ref<ExchangeNode>* found = exchanges.find(id);
  return found == nullptr ? nullptr : found->get();
}

const QueueEntry* TopologyData::find_queue(std::string_view name) const {
  const QueueEntryPtr* found = queues_by_name.find(name);
  return found == nullptr ? nullptr : found->get();
}

const QueueEntry* TopologyData::find_queue(QueueId id) const {
  const QueueEntryPtr* found = queues.find(id);
  return found == nullptr ? nullptr : found->get();
}

Topology::Topology(std::shared_ptr<const TopologyData> data) : data_(std::move(data)) {}

Topology::~Topology() = default;

std::uint64_t Topology::version() const { return data_->version; }

const Exchange* Topology::find_exchange(std::string_view name) const {
  return data_->find_exchange(name);
}

const QueueEntry* Topology::find_queue(std::string_view name) const {
  return data_->find_queue(name);
}

const QueueEntry* Topology::find_queue(QueueId id) const { return data_->find_queue(id); }

}  // namespace harrier::routing
