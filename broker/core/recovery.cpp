// SPDX-License-Identifier: Apache-2.0
#include "broker/core/recovery.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/control.hpp"
#include "broker/core/definition_records.hpp"
#include "broker/core/exchange_queues.hpp"
#include "broker/core/stream_offsets.hpp"
#include "persistence/definitions.hpp"
#include "protocol/bytes.hpp"
#include "protocol/error.hpp"

namespace harrier::broker {

using persistence::Define;
using persistence::Kind;

namespace {

constexpr std::size_t kErrorsMax = 20;  // a damaged store should not fill the log

// Binding names hold octets that no terminal likes.
std::string subject(std::string_view kind, std::string_view name, std::string_view vhost) {
  return std::string(kind) + " '" + std::string(name) + "' in vhost '" + std::string(vhost) + "'";
}

std::string subject(const persistence::BindingDefinition& binding, std::string_view vhost) {
  return "binding from exchange '" + binding.source + "' to " +
         (binding.to_exchange ? "exchange '" : "queue '") + binding.destination + "' with key '" +
         binding.routing_key + "' in vhost '" + std::string(vhost) + "'";
}

std::optional<std::uint64_t> decode_counter(const persistence::Bytes& value) {
  if (value.size() != 8) return std::nullopt;
  std::uint64_t number = 0;
  for (const std::uint8_t octet : value) number = number << 8 | octet;
  return number;
}

class Restoration {
 public:
  Restoration(std::span<Engine* const> engines, persistence::Recovery recovery,
              const ReadPart& read_part)
      : engines_(engines),
        read_part_(read_part),
        control_(*engines.front()->control()),
        recovery_(std::move(recovery)),
        shards_(static_cast<unsigned>(engines.size())) {
    for (persistence::RecoveredQueue& queue : recovery_.queues) {
      const QueueId owner = queue_of(queue.queue);
      ids_below_ = std::max(ids_below_, static_cast<std::uint64_t>(owner) + 1);
      held_[owner].push_back(&queue);
    }
  }

  RestoreResult run() {
    // By kind, so that the ends of a binding are there before it.
    for (const Define& definition : recovery_.definitions) restore(definition);
    for (const auto& [vhost, count] : missing_vhosts_) {
      result_.errors.push_back("the store holds " + std::to_string(count) +
                               " definitions of vhost '" + vhost +
                               "', which is not configured: add it to `vhosts`");
    }
    result_.only_vhosts_missing = !damaged_ && !missing_vhosts_.empty();
    if (!result_.errors.empty()) return std::move(result_);
    drop_nameless();
    control_.finish_restore(ids_below_, [this](ShardMessage news) { hand_out(std::move(news)); });
    for (const auto& [id, queue] : restored_) queue->start(*engines_[shard_of(id, shards_)]);
    return std::move(result_);
  }

 private:
  Engine& control_engine() { return *engines_.front(); }

  void damaged(const std::string& text) {
    damaged_ = true;
    if (result_.errors.size() < kErrorsMax) result_.errors.push_back(text);
  }

  void unreadable(const std::string& what) {
    damaged(what +
            " cannot be read: the store is damaged, or another version wrote it; "
            "start that version, or restore the data directory from a backup");
  }

  void restore(const Define& definition) {
    if (definition.kind == Kind::Counter) {
      restore_counter(definition);
      return;
    }
    if (is_set_by_operators(definition.kind)) {
      restore_operator_record(definition);
      return;
    }
    if (definition.kind != Kind::Exchange && definition.kind != Kind::Queue &&
        definition.kind != Kind::Binding) {
      damaged("the store holds " + subject("a definition", definition.name, definition.vhost) +
              " of kind " + std::to_string(static_cast<unsigned>(definition.kind)) +
              ", which this version does not know; start the version that wrote it");
      return;
    }
    routing::Registry* registry = control_.registry_of(definition.vhost);
    if (registry == nullptr) {
      ++missing_vhosts_[definition.vhost];
      return;
    }
    try {
      if (definition.kind == Kind::Exchange) {
        restore_exchange(*registry, definition);
      } else if (definition.kind == Kind::Queue) {
        restore_queue(*registry, definition);
      } else {
        restore_binding(*registry, definition);
      }
    } catch (const protocol::AmqpError& error) {
      damaged("a stored definition of vhost '" + definition.vhost +
              "' is refused: " + error.explanation());
    }
  }

  static bool is_set_by_operators(Kind kind) {
    return kind == Kind::Vhost || kind == Kind::User || kind == Kind::Permission ||
           kind == Kind::Policy || kind == Kind::Parameter;
  }

  void restore_operator_record(const Define& definition) {
    auto record = read_operator_record(definition);
    if (!record) {
      unreadable(subject("what operators have set as", definition.name, definition.vhost));
      return;
    }
    const auto* const policy = std::get_if<PolicyRecord>(&*record);
    if (policy != nullptr && control_.find_vhost(policy->vhost) == nullptr) {
      ++missing_vhosts_[policy->vhost];
      return;
    }
    control_.restore(*std::move(record));
  }

  void restore_counter(const Define& definition) {
    if (definition.name.starts_with(kDelayedPrefix)) {
      restore_delayed_numbers(definition);
      return;
    }
    if (definition.name.starts_with(kExpiringPrefix)) {
      restore_expiring(definition);
      return;
    }
    if (definition.name.starts_with(kStreamOffsetPrefix)) {
      restore_stream_offset(definition);
      return;
    }
    const auto value = decode_counter(definition.value);
    if (definition.name != kQueueIdCounter || !value) {
      unreadable(subject("counter", definition.name, definition.vhost));
      return;
    }
    ids_below_ = std::max(ids_below_, *value);
  }

  // Counters come last. The queue may have gone in a crash between two batches.
  void restore_expiring(const Define& definition) {
    const std::string digits = definition.name.substr(kExpiringPrefix.size());
    std::uint64_t id = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
      unreadable(subject("counter", definition.name, definition.vhost));
      return;
    }
    const auto at = restored_.find(QueueId{id});
    if (at != restored_.end()) {
      at->second->restore_expiring();
    } else {
      control_engine().record(
          persistence::Forget{Kind::Counter, definition.vhost, definition.name});
    }
  }

  void restore_stream_offset(const Define& definition) {
    auto name = StreamOffsets::parse_name(definition.name);
    const auto at = name ? restored_.find(name->queue) : restored_.end();
    if (name && at == restored_.end()) {
      control_engine().record(
          persistence::Forget{Kind::Counter, definition.vhost, definition.name});
    } else if (!name ||
               !at->second->restore_stream_offset(std::move(name->tag), definition.value)) {
      unreadable(subject("counter", definition.name, definition.vhost));
    }
  }

  // As above: counters come last, and the queue may have gone.
  void restore_delayed_numbers(const Define& definition) {
    const auto numbers = read_delayed_numbers(definition);
    if (!numbers) {
      unreadable(subject("counter", definition.name, definition.vhost));
      return;
    }
    const auto at = restored_.find(numbers->queue);
    if (at != restored_.end()) {
      at->second->restore(*numbers);
    } else {
      control_engine().record(
          persistence::Forget{Kind::Counter, definition.vhost, definition.name});
    }
  }

  void restore_exchange(routing::Registry& registry, const Define& definition) {
    const std::string what = subject("exchange", definition.name, definition.vhost);
    auto decoded = persistence::decode_exchange(definition.value);
    const auto type = decoded ? routing::parse_exchange_type(decoded->type) : std::nullopt;
    if (!type) {
      unreadable(what);
      return;
    }
    if (registry.find_exchange(definition.name) != nullptr) {
      damaged("stored " + what + " has the name of a predeclared one");
      return;
    }
    routing::Exchange exchange;
    exchange.name = definition.name;
    exchange.type = *type;
    exchange.durable = true;
    exchange.auto_delete = decoded->auto_delete;
    exchange.internal = decoded->internal;
    exchange.alternate =
        check_exchange_arguments(definition.name, definition.vhost, decoded->arguments);
    exchange.arguments = std::move(decoded->arguments);
    registry.add_exchange(std::move(exchange));
  }

  // An exclusive queue is never stored (C-215).
  void restore_queue(routing::Registry& registry, const Define& definition) {
    const std::string what = subject("queue", definition.name, definition.vhost);
    auto decoded = persistence::decode_queue(definition.value);
    if (!decoded || decoded->exclusive) {
      unreadable(what);
      return;
    }
    const auto [other, fresh] = names_.emplace(decoded->id, what);
    if (!fresh) {
      damaged(what + " and " + other->second + " have the same id in the store");
      return;
    }
    routing::QueueEntry entry;
    entry.id = QueueId{static_cast<std::uint64_t>(decoded->id)};
    entry.name = definition.name;
    entry.durable = true;
    entry.auto_delete = decoded->auto_delete;
    entry.arguments = std::move(decoded->arguments);
    entry.hidden = is_hidden_queue(entry.name);
    ids_below_ = std::max(ids_below_, static_cast<std::uint64_t>(entry.id) + 1);
    ++result_.counts.queues;
    Queue& queue = engines_[shard_of(entry.id, shards_)]->add_queue(
        registry.add_queue(std::move(entry)), definition.vhost);
    restored_.emplace(queue.entry().id, &queue);
    const auto held = held_.find(queue.entry().id);
    if (held == held_.end()) return;  // has never had a stored message
    for (const persistence::RecoveredQueue* const part : held->second) {
      if (part_of(part->queue) == QueuePart::Dedup) {
        restore_ids(queue, *part, what);
        continue;
      }
      if (!queue.restore(*part, recovery_.clean)) {
        damaged(what + " has a part " +
                std::to_string(static_cast<unsigned>(part_of(part->queue))) +
                " in the store, which this version does not know; start the version that wrote it");
        continue;
      }
      result_.counts.messages += part->messages;
    }
  }

  // All of them, before the first publisher comes: whether a message is new is asked at once.
  void restore_ids(Queue& queue, const persistence::RecoveredQueue& part, const std::string& what) {
    Deduplication& dedup = queue.dedup();
    dedup.restore(part.seq_max);
    persistence::Fetched page{{}, part.head, part.next};
    for (;;) {
      if (!page.status.ok() || !dedup.restore(page.messages)) {
        unreadable("what " + what + " has taken already, its deduplication window,");
        return;
      }
      if (!page.next) return;
      page = read_part_(part.queue, *page.next);
    }
  }

  void restore_binding(routing::Registry& registry, const Define& definition) {
    auto decoded = persistence::decode_binding(definition.value);
    if (!decoded) {
      unreadable("a binding in vhost '" + definition.vhost + "'");
      return;
    }
    const bool has_source = registry.find_exchange(decoded->source) != nullptr;
    const bool has_destination = decoded->to_exchange
                                     ? registry.find_exchange(decoded->destination) != nullptr
                                     : registry.find_queue(decoded->destination) != nullptr;
    if (!has_source || !has_destination) {
      control_engine().log(2, "the stored " + subject(*decoded, definition.vhost) +
                                  " is dropped: its " + (has_source ? "destination" : "source") +
                                  " is not in the store");
      control_engine().record(
          persistence::Forget{Kind::Binding, definition.vhost, definition.name});
      return;
    }
    ++result_.counts.bindings;
    registry.bind({std::move(decoded->source), std::move(decoded->destination),
                   decoded->to_exchange, std::move(decoded->routing_key),
                   std::move(decoded->arguments)});
  }

  // Left over by a crash between a queue's first message and its end, or after its Forget.
  void drop_nameless() {
    for (const persistence::RecoveredQueue& queue : recovery_.queues) {
      const auto id = static_cast<std::uint64_t>(queue_of(queue.queue));
      if (names_.contains(persistence::QueueId{id})) continue;
      control_engine().log(queue.messages > 0 ? 2 : 1,
                           "queue " + std::to_string(id) + " with " +
                               std::to_string(queue.messages) +
                               " messages has no definition in the store: it was being deleted, "
                               "and goes now");
      control_engine().record(persistence::DropQueue{queue.queue});
    }
  }

  // Not as messages: no shard takes any yet, and none has to be answered.
  void hand_out(ShardMessage news) {
    if (auto* policy = std::get_if<ApplyPolicy>(&news)) {
      const QueueId queue = policy->queue;
      engines_[shard_of(queue, shards_)]->handle(std::move(*policy), kControlShard);
    } else if (const auto* topology = std::get_if<NewTopology>(&news)) {
      for (Engine* engine : engines_)
        engine->set_vhost({topology->vhost, topology->topology, topology->profile});
    } else if (const auto* users = std::get_if<NewUsers>(&news)) {
      for (Engine* engine : engines_) engine->set_authenticator(users->authenticator);
    }
  }

  const std::span<Engine* const> engines_;
  const ReadPart& read_part_;
  Control& control_;
  persistence::Recovery recovery_;
  const unsigned shards_;
  std::unordered_map<QueueId, std::vector<const persistence::RecoveredQueue*>> held_;  // parts
  std::unordered_map<persistence::QueueId, std::string> names_;  // of queues that are defined
  std::unordered_map<QueueId, Queue*> restored_;
  std::map<std::string, std::uint64_t> missing_vhosts_;
  std::uint64_t ids_below_ = 0;
  bool damaged_ = false;
  RestoreResult result_;
};

}  // namespace

Define define_queue_ids(std::uint64_t below) {
  persistence::Bytes value(8);
  protocol::put_u64(value.data(), below);
  return {Kind::Counter, "", std::string(kQueueIdCounter), std::move(value)};
}

RestoreResult restore(std::span<Engine* const> engines, persistence::Recovery recovery,
                      const ReadPart& read_part) {
  return Restoration(engines, std::move(recovery), read_part).run();
}

}  // namespace harrier::broker
