// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/delays.hpp"

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <variant>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kExchange = "delays";
constexpr const char* kQueue = "delays.due";
constexpr const char* kWaiting = "amq.delayed.delays";  // where they can be counted
constexpr std::size_t kWindow = 20;
constexpr std::uint32_t kInOneLife = 500;
constexpr std::uint64_t kDrainOneIn = 8;
constexpr std::uint16_t kPrefetch = 50;
constexpr auto kTimeout = std::chrono::seconds(60);

std::int64_t now_ms() {
  using std::chrono::milliseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

std::string delayed(const MessageKey& key) { return "delayed " + to_text(key); }

std::vector<std::uint8_t> properties_of(const MessageKey& key, std::int64_t delay_ms) {
  protocol::Properties properties;
  properties.delivery_mode = 2;
  properties.headers.emplace()
      .add_int64("number", static_cast<std::int64_t>(key.number))
      .add_int64("x-delay", delay_ms);
  return properties.encode();
}

// The header of what has waited is negative; all else is as it was sent.
void check_content(const MessageKey& key, std::int64_t delay_ms, const Content& content) {
  const auto properties = protocol::PropertiesView::parse(content.properties);
  require(properties && properties->has(protocol::kHeaders), delayed(key) + ": has no headers");
  const protocol::TableView headers = properties->headers();
  const auto integer = [&](const char* name) {
    const auto value = headers.find(name);
    return value ? value->as_integer().value_or(0) : 0;
  };
  require(
      integer("x-delay") == -delay_ms && integer("number") == static_cast<std::int64_t>(key.number),
      delayed(key) + ": its headers have changed");
}

void poll_once(Client& client) {
  if (client.gone()) throw Gone("waiting for delayed messages");
  pollfd entry{client.socket(), client.events(), 0};
  const int ready = ::poll(&entry, 1, 20);
  if (ready < 0 && errno != EINTR) throw std::runtime_error("poll");
  if (ready > 0) client.pump(entry.revents);
}

std::uint32_t count_in(Client& client, const char* queue) {
  const Answer answer = client.look_at(queue);
  require(answer.ok(), std::string("queue ") + queue + ": " + answer.text);
  return answer.message_count;
}

}  // namespace

// ---- the oracle ----

void Delays::published(const MessageKey& key, std::int64_t delay_ms, std::int64_t now) {
  Message message;
  message.run = run_;
  message.delay_ms = delay_ms;
  message.not_before = now + delay_ms;
  require(messages_.emplace(key, message).second, delayed(key) + ": published twice by the test");
}

void Delays::confirmed(const MessageKey& key) {
  ++confirms_;
  messages_.at(key).durable = true;
}

std::int64_t Delays::delay_of(const MessageKey& key) const {
  const auto at = messages_.find(key);
  require(at != messages_.end(),
          delayed(key) + " is back: it was settled for certain, or never published");
  return at->second.delay_ms;
}

void Delays::delivered(const MessageKey& key, bool redelivered, std::int64_t now) {
  Message& message = messages_.at(key);
  require(message.not_before <= now + kEarlyMaxMs,
          delayed(key) + " came " + std::to_string(message.not_before - now) + " ms too early");
  require(!message.held, delayed(key) + " is with two at once");
  const bool may_be_new = message.delivered_run != run_ && !message.moved;
  require(!message.delivered || redelivered || may_be_new,
          delayed(key) + " was delivered before, and now again without the redelivered flag");
  require(!message.settle_asked || message.settle_run != run_,
          delayed(key) + " was settled in this life of the broker, and is there again");
  if (message.run != run_) {
    message.durable = true;
    ++outlived_;
  }
  if (redelivered && message.delivered_run != run_) message.moved = true;
  message.settle_asked = false;
  message.delivered = true;
  message.delivered_run = run_;
  message.held = true;
  ++deliveries_;
}

void Delays::settle_asked(const MessageKey& key) {
  Message& message = messages_.at(key);
  message.held = false;
  message.settle_asked = true;
  message.settle_run = run_;
}

void Delays::drained() {
  std::erase_if(messages_, [this](const auto& entry) {
    const Message& message = entry.second;
    require(!message.durable || message.settle_asked,
            delayed(entry.first) + " is lost: it was confirmed, and nobody settled it");
    return !message.settle_asked || message.settle_run != run_;
  });
}

void Delays::killed() {
  ++run_;
  for (auto& [key, message] : messages_) message.held = false;
}

void Delays::stopped_in_good_order() {
  std::erase_if(messages_, [this](const auto& entry) {
    return entry.second.settle_asked && entry.second.settle_run == run_;
  });
  for (auto& [key, message] : messages_) message.moved = message.moved || message.delivered;
  killed();
}

std::pair<std::uint64_t, std::uint64_t> Delays::count_bounds() const {
  std::uint64_t owed = 0;
  for (const auto& [key, message] : messages_) {
    if (message.durable && !message.settle_asked) ++owed;
  }
  return {owed, messages_.size()};
}

void Delays::check_load() const {
  require(confirms_ > 0 && deliveries_ > 0 && outlived_ > 0,
          "the load was too short to prove anything about delayed messages");
}

std::string Delays::summary() const {
  return "delayed: " + std::to_string(confirms_) + " confirmed, " + std::to_string(deliveries_) +
         " delivered, " + std::to_string(outlived_) + " of them after a restart";
}

// ---- the broker ----

void Delays::set_up(Client& client) {
  const auto type = protocol::Table().add("x-delayed-type", "fanout");
  protocol::ExchangeDeclare exchange;
  exchange.exchange = kExchange;
  exchange.type = "x-delayed-message";
  exchange.durable = true;
  exchange.arguments = type.view();
  require(client.call(exchange).ok(), "exchange.declare");
  protocol::QueueDeclare queue;
  queue.queue = kQueue;
  queue.durable = true;
  require(client.call(queue).ok(), "queue.declare");
  protocol::QueueBind bind;
  bind.queue = kQueue;
  bind.exchange = kExchange;
  require(client.call(bind).ok(), "queue.bind");
}

void Delays::add_actors(World& world, std::uint32_t& publisher,
                        std::vector<std::unique_ptr<Actor>>& actors) {
  actors.push_back(std::make_unique<DelayedPublisher>(world, ++publisher, *this));
  actors.push_back(std::make_unique<DelayedConsumer>(world, *this, true));
}

void Delays::audit(World& world, bool all) {
  await_counts(world);
  if (!all && !world.dice.one_in(kDrainOneIn)) return;
  drain(world);
  drained();
}

// What is due moves while this looks, from the one place to the other, and is in neither for a
// moment: it may seem less than it is, but not for long, and never more.
void Delays::await_counts(World& world) const {
  const auto [owed, possible] = count_bounds();
  Client client(world.port, [](const protocol::Method&, const Content&) {});
  const auto deadline = Clock::now() + kTimeout;
  for (;;) {
    const std::uint64_t due = count_in(client, kQueue);
    const std::uint64_t held = due + count_in(client, kWaiting);
    require(held <= possible, "there are " + std::to_string(held) +
                                  " delayed messages, of which only " + std::to_string(possible) +
                                  " can be");
    if (held >= owed) return;
    require(Clock::now() < deadline, "there are only " + std::to_string(held) +
                                         " delayed messages of " + std::to_string(owed) +
                                         " that were confirmed");
  }
}

void Delays::drain(World& world) {
  DelayedConsumer reader(world, *this, false);
  const auto deadline = Clock::now() + std::chrono::milliseconds(kDelayMaxMs) + kTimeout;
  // Twice: what is on its way from the one to the other has arrived then.
  const auto is_empty = [&] {
    for (const char* queue : {kWaiting, kQueue, kWaiting, kQueue}) {
      if (reader.count(queue) > 0) return false;
    }
    return true;
  };
  while (count_bounds().first > 0 || !is_empty()) {
    if (Clock::now() > deadline) {
      drained();  // says what is missing
      throw Violation("delayed messages wait for ever");
    }
    poll_once(reader.client());
  }
  reader.finish();
}

DelayedPublisher::DelayedPublisher(World& world, std::uint32_t id, Delays& delays)
    : Actor(world), id_(id), delays_(delays) {
  client_.call(protocol::ConfirmSelect{});
}

void DelayedPublisher::step() {
  while (may_send() && unconfirmed_.size() < kWindow && published_ < kInOneLife) {
    ++published_;
    const MessageKey key{id_, world_.ledger.next_number(id_)};
    const std::int64_t most = world_.dice.one_in(4) ? Delays::kDelayMaxMs : 300;
    const auto delay_ms =
        static_cast<std::int64_t>(1 + world_.dice.below(static_cast<std::uint64_t>(most)));
    delays_.published(key, delay_ms, now_ms());
    unconfirmed_.sent(key);
    client_.publish(kExchange, "", false, properties_of(key, delay_ms),
                    make_body(key, world_.dice.body_size()));
  }
}

void DelayedPublisher::on_method(const protocol::Method& method, const Content&) {
  for (const MessageKey& key : unconfirmed_.take(method)) delays_.confirmed(key);
}

DelayedConsumer::DelayedConsumer(World& world, Delays& delays, bool gives_back)
    : Actor(world), delays_(delays), gives_back_(gives_back) {
  protocol::BasicQos qos;
  qos.prefetch_count = kPrefetch;
  client_.call(qos);
  protocol::BasicConsume consume;
  consume.queue = kQueue;
  client_.call(consume);
}

void DelayedConsumer::on_method(const protocol::Method& method, const Content& content) {
  const auto* deliver = std::get_if<protocol::BasicDeliver>(&method);
  require(deliver != nullptr, "a consumer got " + protocol::print(method));
  const auto key = read_body(content.body);
  require(key.has_value(), "a delayed message with a damaged body");
  require(deliver->exchange == kExchange && deliver->routing_key.empty(),
          delayed(*key) + ": came with another exchange or routing key");
  check_content(*key, delays_.delay_of(*key), content);
  delays_.delivered(*key, deliver->redelivered, now_ms());
  if (resting_) return;
  if (gives_back_ && world_.dice.one_in(10)) {
    delays_.returned(*key);
    protocol::BasicReject reject;
    reject.delivery_tag = deliver->delivery_tag;
    reject.requeue = true;
    client_.send(reject);
    return;
  }
  delays_.settle_asked(*key);
  protocol::BasicAck ack;
  ack.delivery_tag = deliver->delivery_tag;
  client_.send(ack);
}

std::uint32_t DelayedConsumer::count(const char* queue) { return count_in(client_, queue); }

void DelayedConsumer::finish() { count(kQueue); }

}  // namespace harrier::crash_tests
