// SPDX-License-Identifier: Apache-2.0
#include "routing/registry.hpp"

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include "protocol/check.hpp"
#include "protocol/error.hpp"
#include "routing/binding_table.hpp"
#include "routing/pattern_grammar.hpp"
#include "routing/topology_data.hpp"

namespace harrier::routing {

using protocol::AmqpError;
using protocol::ReplyCode;
using protocol::TableView;

namespace {

std::uint64_t next_registry_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

Pattern parse_binding_key(std::string_view key) {
  auto parsed = parse_pattern(key);
  if (const auto* error = std::get_if<PatternError>(&parsed)) {
    throw AmqpError(ReplyCode::PreconditionFailed, error->message);
  }
  return std::get<Pattern>(std::move(parsed));
}

// The same for a name in every run, whatever its id.
std::uint64_t name_hash(const TopologyData& data, Destination destination) {
  constexpr std::uint64_t kExchangeSeed = 'x';
  constexpr std::uint64_t kQueueSeed = 'q';
  return destination.is_exchange()
             ? hash_text(data.find_exchange(destination.exchange())->definition->name,
                         kExchangeSeed)
             : hash_text(data.find_queue(destination.queue())->name, kQueueSeed);
}

struct AddBinding {
  const BindingTable::Record& binding;
  const TopologyData& data;
  void operator()(DirectMatcher& direct) const { direct.add(binding.key, binding.destination); }
  void operator()(FanoutMatcher& fanout) const { fanout.add(binding.destination); }
  void operator()(TopicMatcher& topic) const {
    topic.add(parse_binding_key(binding.key->view()), binding.destination);
  }
  void operator()(HeadersMatcher& headers) const {
    headers.add(binding.table(), binding.destination);
  }
  void operator()(ConsistentHashMatcher& hash) const {
    hash.add(parse_weight(binding.key->view()), binding.destination,
             name_hash(data, binding.destination));
  }
  void operator()(ModulusHashMatcher& hash) const {
    hash.add(binding.destination, name_hash(data, binding.destination));
  }
  void operator()(RandomMatcher& random) const {
    random.add(binding.destination, name_hash(data, binding.destination));
  }
};

struct RemoveBinding {
  const BindingTable::Record& binding;
  const TopologyData& data;
  bool operator()(DirectMatcher& direct) const {
    return direct.remove(binding.key->view(), binding.destination);
  }
  bool operator()(FanoutMatcher& fanout) const { return fanout.remove(binding.destination); }
  bool operator()(TopicMatcher& topic) const {
    return topic.remove(parse_binding_key(binding.key->view()), binding.destination);
  }
  bool operator()(HeadersMatcher& headers) const {
    return headers.remove(binding.table(), binding.destination);
  }
  bool operator()(ConsistentHashMatcher& hash) const {
    return hash.remove(parse_weight(binding.key->view()), binding.destination);
  }
  bool operator()(ModulusHashMatcher& hash) const {
    return hash.remove(binding.destination, name_hash(data, binding.destination));
  }
  bool operator()(RandomMatcher& random) const {
    return random.remove(binding.destination, name_hash(data, binding.destination));
  }
};

}  // namespace

void check_binding(const Exchange& source, const Binding& binding, const QueueEntry* queue) {
  switch (routing_type(source)) {
    case ExchangeType::Headers:
      parse_x_match(binding.arguments);
      break;
    case ExchangeType::Topic:
      parse_binding_key(binding.routing_key);
      break;
    case ExchangeType::ConsistentHash:
      parse_weight(binding.routing_key);
      break;
    case ExchangeType::LocalRandom:
      check_local_random_binding(binding.routing_key, queue);
      break;
    case ExchangeType::Direct:
    case ExchangeType::Fanout:
    case ExchangeType::MessageDeduplication:
    case ExchangeType::ModulusHash:
    case ExchangeType::Random:
    case ExchangeType::Delayed:
    case ExchangeType::RecentHistory:
      break;
  }
}

struct Registry::Impl {
  using Slot = BindingTable::Slot;

  TopologyData data;   // the newest version; snapshots are copies of it
  TopologyPtr latest;  // of `data`, or null since the last change
  BindingTable bindings;
  std::set<std::pair<std::uint64_t, QueueId>> owned_queues;
  std::uint64_t last_exchange_id = 0;
  std::size_t queue_count = 0;

  void begin_change() {
    // Let go first: if nobody else has that snapshot, its nodes can be edited in place.
    latest.reset();
    ++data.version;
  }

  // By one of the same name and id.
  void replace(std::shared_ptr<const Exchange> changed) {
    begin_change();
    data.exchanges_by_name.erase(changed->name);
    data.exchanges_by_name.insert(changed);
    Ref<ExchangeNode>* node = data.exchanges.edit(changed->id);
    HARRIER_CHECK(node != nullptr);
    node->edit().definition = std::move(changed);
  }
  // One field of an exchange that exists; false if it was that already.
  template <class Value>
  bool set(const Exchange* exchange, Value Exchange::*field, Value value) {
    HARRIER_CHECK(exchange != nullptr);
    if (exchange->*field == value) return false;
    auto changed = std::make_shared<Exchange>(*exchange);
    (*changed).*field = std::move(value);
    replace(std::move(changed));
    return true;
  }

  Matcher& edit_matcher(ExchangeId id) {
    Ref<ExchangeNode>* node = data.exchanges.edit(id);
    HARRIER_CHECK(node != nullptr);
    return node->edit().matcher;
  }

  std::optional<Destination> destination_of(const Binding& binding) const {
    if (binding.to_exchange) {
      const Exchange* exchange = data.find_exchange(binding.destination);
      return exchange == nullptr ? std::nullopt : std::optional(Destination(exchange->id));
    }
    const QueueEntry* queue = data.find_queue(binding.destination);
    return queue == nullptr ? std::nullopt : std::optional(Destination(queue->id));
  }

  Binding describe(const BindingTable::Record& record) const {
    Binding binding;
    binding.source = data.find_exchange(record.source)->definition->name;
    binding.to_exchange = record.destination.is_exchange();
    binding.destination = binding.to_exchange
                              ? data.find_exchange(record.destination.exchange())->definition->name
                              : data.find_queue(record.destination.queue())->name;
    binding.routing_key = record.key->view();
    binding.arguments = protocol::Table(record.table());
    return binding;
  }

  // Takes a binding out of its source. An auto-delete source that has none left becomes doomed
  // (C-190).
  void remove_binding(Slot slot, Removed& removed, std::vector<ExchangeId>& doomed) {
    const BindingTable::Record& record = bindings.at(slot);
    const ExchangeId source = record.source;
    removed.bindings.push_back(describe(record));
    HARRIER_CHECK(std::visit(RemoveBinding{record, data}, edit_matcher(source)));
    bindings.erase(slot);
    const bool last = bindings.first_from(source) == BindingTable::kNone;
    if (last && data.find_exchange(source)->definition->auto_delete) doomed.push_back(source);
  }

  void remove_bindings_to(Destination destination, Removed& removed,
                          std::vector<ExchangeId>& doomed) {
    for (;;) {
      const Slot slot = bindings.first_to(destination);
      if (slot == BindingTable::kNone) return;
      remove_binding(slot, removed, doomed);
    }
  }

  void erase_exchange(ExchangeId id, Removed& removed, std::vector<ExchangeId>& doomed) {
    // The outgoing ones go with the exchange's matcher, loops to itself among them.
    for (;;) {
      const Slot slot = bindings.first_from(id);
      if (slot == BindingTable::kNone) break;
      removed.bindings.push_back(describe(bindings.at(slot)));
      bindings.erase(slot);
    }
    remove_bindings_to(Destination(id), removed, doomed);
    const std::shared_ptr<const Exchange> definition = data.find_exchange(id)->definition;
    data.exchanges_by_name.erase(definition->name);
    data.exchanges.erase(id);
  }

  // A doomed exchange has no outgoing binding left, so none comes twice and loops end (C-191).
  void erase_doomed(std::vector<ExchangeId>& doomed, Removed& removed) {
    while (!doomed.empty()) {
      const ExchangeId id = doomed.back();
      doomed.pop_back();
      removed.exchanges.push_back(*data.find_exchange(id)->definition);
      erase_exchange(id, removed, doomed);
    }
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {
  impl_->data.registry = next_registry_number();
  const auto predeclare = [this](std::string_view name, ExchangeType type, bool internal) {
    Exchange exchange;
    exchange.name = name;
    exchange.type = type;
    exchange.durable = true;
    exchange.internal = internal;
    add_exchange(std::move(exchange));
  };
  predeclare("", ExchangeType::Direct, false);  // C-150
  predeclare("amq.direct", ExchangeType::Direct, false);
  predeclare("amq.fanout", ExchangeType::Fanout, false);
  predeclare("amq.topic", ExchangeType::Topic, false);
  predeclare("amq.headers", ExchangeType::Headers, false);
  predeclare("amq.match", ExchangeType::Headers, false);
  predeclare("amq.rabbitmq.trace", ExchangeType::Topic, true);
}

Registry::~Registry() = default;

TopologyPtr Registry::snapshot() {
  if (!impl_->latest) {
    impl_->latest =
        std::make_shared<const Topology>(std::make_shared<const TopologyData>(impl_->data));
  }
  return impl_->latest;
}

std::uint64_t Registry::version() const { return impl_->data.version; }

const Exchange* Registry::find_exchange(std::string_view name) const {
  return impl_->data.find_exchange(name);
}

const QueueEntry* Registry::find_queue(std::string_view name) const {
  return impl_->data.find_queue(name);
}

const QueueEntry* Registry::find_queue(QueueId id) const { return impl_->data.find_queue(id); }

const Exchange& Registry::add_exchange(Exchange exchange) {
  HARRIER_CHECK(find_exchange(exchange.name) == nullptr);
  Matcher matcher = make_matcher(exchange.type, exchange.arguments);  // throws before any change
  impl_->begin_change();
  exchange.id = static_cast<ExchangeId>(++impl_->last_exchange_id);
  auto* node = new ExchangeNode;
  auto ref = Ref<ExchangeNode>::adopt(node);
  node->definition = std::make_shared<const Exchange>(std::move(exchange));
  node->matcher = std::move(matcher);
  impl_->data.exchanges_by_name.insert(node->definition);
  impl_->data.exchanges.insert(std::move(ref));
  return *node->definition;
}

QueueEntryPtr Registry::add_queue(QueueEntry queue) {
  HARRIER_CHECK(find_queue(queue.name) == nullptr && find_queue(queue.id) == nullptr);
  impl_->begin_change();
  if (queue.owner != 0) impl_->owned_queues.emplace(queue.owner, queue.id);
  auto entry = std::make_shared<const QueueEntry>(std::move(queue));
  if (!entry->hidden) ++impl_->queue_count;
  impl_->data.queues_by_name.insert(entry);
  impl_->data.queues.insert(entry);
  return entry;
}

bool Registry::set_alternate(std::string_view name, std::optional<std::string> alternate) {
  return impl_->set(find_exchange(name), &Exchange::alternate, std::move(alternate));
}

bool Registry::set_delay_queue(std::string_view name, QueueId queue) {
  return impl_->set(find_exchange(name), &Exchange::delay_queue, queue);
}

bool Registry::set_history_queue(std::string_view name, QueueId queue) {
  return impl_->set(find_exchange(name), &Exchange::history_queue, queue);
}

bool Registry::set_dedup(std::string_view name, DedupRule rule) {
  return impl_->set(find_exchange(name), &Exchange::dedup, rule);
}

QueueEntryPtr Registry::set_arguments(std::string_view queue, protocol::Table arguments) {
  const QueueEntry* known = find_queue(queue);
  HARRIER_CHECK(known != nullptr);
  QueueEntry changed = *known;
  changed.arguments = std::move(arguments);
  impl_->begin_change();
  const auto entry = std::make_shared<const QueueEntry>(std::move(changed));
  impl_->data.queues_by_name.erase(entry->name);
  impl_->data.queues_by_name.insert(entry);
  impl_->data.queues.erase(entry->id);
  impl_->data.queues.insert(entry);
  return entry;
}

Removed Registry::remove_exchange(std::string_view name) {
  const Exchange* exchange = find_exchange(name);
  HARRIER_CHECK(exchange != nullptr);
  impl_->begin_change();
  Removed removed;
  std::vector<ExchangeId> doomed;
  impl_->erase_exchange(exchange->id, removed, doomed);
  impl_->erase_doomed(doomed, removed);
  return removed;
}

Removed Registry::remove_queue(std::string_view name) {
  const QueueEntry* queue = find_queue(name);
  HARRIER_CHECK(queue != nullptr);
  impl_->begin_change();
  Removed removed;
  std::vector<ExchangeId> doomed;
  const QueueId id = queue->id;
  const std::string own_name = queue->name;  // `name` may point into what goes
  if (!queue->hidden) --impl_->queue_count;
  impl_->remove_bindings_to(Destination(id), removed, doomed);
  impl_->owned_queues.erase({queue->owner, id});
  impl_->data.queues_by_name.erase(own_name);
  impl_->data.queues.erase(id);
  impl_->erase_doomed(doomed, removed);
  return removed;
}

bool Registry::has_bindings_from(std::string_view exchange) const {
  const Exchange* source = find_exchange(exchange);
  return source != nullptr && impl_->bindings.first_from(source->id) != BindingTable::kNone;
}

bool Registry::bind(const Binding& binding) {
  const Exchange* source = find_exchange(binding.source);
  const std::optional<Destination> destination = impl_->destination_of(binding);
  HARRIER_CHECK(source != nullptr && destination.has_value());
  check_binding(*source, binding, binding.to_exchange ? nullptr : find_queue(binding.destination));
  const TableView arguments = binding.arguments;
  BindingTable& table = impl_->bindings;
  if (table.find(source->id, *destination, binding.routing_key, arguments) != BindingTable::kNone) {
    return false;
  }
  impl_->begin_change();
  const BindingTable::Record& record =
      table.insert(source->id, *destination, binding.routing_key, arguments);
  std::visit(AddBinding{record, impl_->data}, impl_->edit_matcher(source->id));
  return true;
}

bool Registry::has(const Binding& binding) const {
  const Exchange* source = find_exchange(binding.source);
  const std::optional<Destination> destination = impl_->destination_of(binding);
  return source != nullptr && destination &&
         impl_->bindings.find(source->id, *destination, binding.routing_key, binding.arguments) !=
             BindingTable::kNone;
}

Removed Registry::unbind(const Binding& binding) {
  Removed removed;
  const Exchange* source = find_exchange(binding.source);
  const std::optional<Destination> destination = impl_->destination_of(binding);
  if (source == nullptr || !destination) return removed;
  const BindingTable::Slot slot =
      impl_->bindings.find(source->id, *destination, binding.routing_key, binding.arguments);
  if (slot == BindingTable::kNone) return removed;
  impl_->begin_change();
  std::vector<ExchangeId> doomed;
  impl_->remove_binding(slot, removed, doomed);
  impl_->erase_doomed(doomed, removed);
  return removed;
}

std::vector<QueueId> Registry::queues_of(std::uint64_t owner) const {
  std::vector<QueueId> ids;
  auto at = impl_->owned_queues.lower_bound({owner, QueueId{}});
  for (; at != impl_->owned_queues.end() && at->first == owner; ++at) ids.push_back(at->second);
  return ids;
}

// Both in the order of their ids, which is that of their making.
void Registry::for_each_exchange(const std::function<void(const Exchange&)>& visit) const {
  std::vector<const Exchange*> all;
  impl_->data.exchanges.for_each(
      [&all](const Ref<ExchangeNode>& node) { all.push_back(node->definition.get()); });
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->id < b->id; });
  for (const Exchange* exchange : all) visit(*exchange);
}

void Registry::for_each_queue(const std::function<void(const QueueEntry&)>& visit) const {
  std::vector<const QueueEntry*> all;
  impl_->data.queues.for_each([&all](const QueueEntryPtr& entry) { all.push_back(entry.get()); });
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->id < b->id; });
  for (const QueueEntry* queue : all) visit(*queue);
}

void Registry::for_each_binding(const std::function<void(const Binding&)>& visit) const {
  impl_->bindings.for_each(
      [&](const BindingTable::Record& record) { visit(impl_->describe(record)); });
}

std::size_t Registry::queue_count() const { return impl_->queue_count; }

std::size_t Registry::binding_count() const { return impl_->bindings.size(); }

}  // namespace harrier::routing
