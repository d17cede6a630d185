// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/stream_log.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <variant>

#include "protocol/properties.hpp"

namespace harrier::crash_tests {
namespace {

constexpr const char* kStream = "stream";
constexpr const char* kTag = "remembered";
constexpr std::size_t kWindow = 20;
constexpr std::uint32_t kInOneLife = 500;
constexpr std::uint16_t kPrefetch = 200;
// An audit reads so many again that were read before, unless it reads all.
constexpr StreamLog::Offset kReadAgain = 300;
constexpr StreamLog::Offset kReadAllBelow = 20'000;
constexpr int kDeliveryTimeoutMs = 30'000;

std::string at_offset(StreamLog::Offset offset) {
  return "offset " + std::to_string(offset) + " of the stream";
}

StreamLog::Offset offset_of(const Content& content, const MessageKey& key) {
  const auto properties = protocol::PropertiesView::parse(content.properties);
  require(properties && properties->has(protocol::kHeaders), to_text(key) + ": has no headers");
  const auto offset = properties->headers().find("x-stream-offset");
  const auto number = properties->headers().find("number");
  require(offset && offset->as_integer().value_or(-1) >= 0, to_text(key) + ": has no offset");
  require(number && number->as_integer() == static_cast<std::int64_t>(key.number) &&
              properties->text(protocol::kMessageId) ==
                  std::to_string(key.publisher) + "-" + std::to_string(key.number),
          to_text(key) + " in the stream: its properties have changed");
  return static_cast<StreamLog::Offset>(*offset->as_integer());
}

}  // namespace

// ---- the oracle ----

void StreamLog::published(const MessageKey& key) { open_.insert(key); }

void StreamLog::confirmed(const MessageKey& key) {
  ++confirms_;
  if (open_.contains(key)) owed_.insert(key);
}

void StreamLog::seen(Offset offset, const MessageKey& key) {
  ++deliveries_;
  if (offset < log_.size()) {
    require(log_[offset] == key,
            at_offset(offset) + " was " + to_text(log_[offset]) + " and is " + to_text(key));
    return;
  }
  require(offset == log_.size(), at_offset(offset) + " came before " + at_offset(log_.size()));
  require(open_.erase(key) == 1, at_offset(offset) + " is " + to_text(key) +
                                     ", which was there already, missing after an earlier "
                                     "restart, or never published");
  owed_.erase(key);
  std::uint64_t& last = last_[key.publisher];
  require(last < key.number, at_offset(offset) + " is " + to_text(key) +
                                 ": out of order, it came after " + std::to_string(last));
  last = key.number;
  log_.push_back(key);
}

void StreamLog::read_to_end(Offset count) {
  require(log_.size() == count, "the stream counts " + std::to_string(count) +
                                    " messages and has " + std::to_string(log_.size()));
  require(owed_.empty(), to_text(owed_.empty() ? MessageKey{} : *owed_.begin()) +
                             " is lost from the stream: it was confirmed");
  open_.clear();
}

void StreamLog::begins_at(Offset offset) {
  require(offset >= certain_, "a remembered consumer begins at " + at_offset(offset) +
                                  " again, and was at " + std::to_string(certain_));
  require(offset <= most_, "a remembered consumer begins at " + at_offset(offset) +
                               " and had acknowledged no more than all below " +
                               std::to_string(most_));
  if (offset > 0) ++resumed_;
  certain_ = most_ = offset;
  position_ = offset;
}

void StreamLog::acknowledged_below(Offset offset) {
  position_ = std::max(position_.value_or(0), offset);
  most_ = std::max(most_, offset);
}

void StreamLog::stopped_in_good_order() {
  if (position_) certain_ = most_ = *position_;
  position_.reset();
}

void StreamLog::check_load() const {
  require(confirms_ > 0 && deliveries_ > 0 && resumed_ > 0,
          "the load was too short to prove anything about streams");
}

std::string StreamLog::summary() const {
  return "stream: " + std::to_string(log_.size()) + " messages, " + std::to_string(confirms_) +
         " confirmed, " + std::to_string(deliveries_) + " deliveries, resumed " +
         std::to_string(resumed_) + " times";
}

// ---- the broker ----

void StreamLog::set_up(Client& client) {
  const auto arguments = protocol::Table().add("x-queue-type", "stream");
  protocol::QueueDeclare queue;
  queue.queue = kStream;
  queue.durable = true;
  queue.arguments = arguments.view();
  require(client.call(queue).ok(), "queue.declare");
}

void StreamLog::add_actors(World& world, std::uint32_t& publisher,
                           std::vector<std::unique_ptr<Actor>>& actors) {
  for (int i = 0; i < 2; ++i)
    actors.push_back(std::make_unique<StreamPublisher>(world, ++publisher, *this));
  actors.push_back(std::make_unique<StreamReader>(world, *this, std::nullopt));
  actors.push_back(std::make_unique<StreamReader>(world, *this, world.dice.below(known() + 1)));
}

void StreamLog::audit(World& world, bool all) {
  const bool whole = all || (known() < kReadAllBelow && world.dice.one_in(4));
  const Offset from = whole || known() < kReadAgain ? 0 : known() - kReadAgain;
  StreamReader reader(world, *this, from);
  const Offset count = reader.count();
  require(count >= known(), "the stream counts " + std::to_string(count) + " messages, and " +
                                std::to_string(known()) + " have been read");
  while (std::max(reader.next(), from) < count) {
    Client& client = reader.client();
    if (client.gone()) throw Gone("reading the stream");
    pollfd entry{client.socket(), client.events(), 0};
    const int ready = ::poll(&entry, 1, kDeliveryTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    require(ready > 0, "the stream counts " + std::to_string(count) + " messages and delivers to " +
                           at_offset(reader.next()));
    client.pump(entry.revents);
  }
  read_to_end(reader.count());
}

StreamPublisher::StreamPublisher(World& world, std::uint32_t id, StreamLog& log)
    : Actor(world), id_(id), log_(log) {
  client_.call(protocol::ConfirmSelect{});
}

void StreamPublisher::step() {
  while (may_send() && unconfirmed_.size() < kWindow && published_ < kInOneLife) {
    ++published_;
    const MessageKey key{id_, world_.ledger.next_number(id_)};
    log_.published(key);
    unconfirmed_.sent(key);
    // Stored in any case (C-486).
    const bool persistent = !world_.dice.one_in(4);
    client_.publish("", kStream, false, make_properties(key, persistent),
                    make_body(key, world_.dice.body_size()));
  }
}

void StreamPublisher::on_method(const protocol::Method& method, const Content&) {
  for (const MessageKey& key : unconfirmed_.take(method)) log_.confirmed(key);
}

StreamReader::StreamReader(World& world, StreamLog& log, std::optional<StreamLog::Offset> from)
    : Actor(world), log_(log), tracked_(!from), next_(from) {
  protocol::BasicQos qos;
  qos.prefetch_count = kPrefetch;
  client_.call(qos);
  protocol::Table arguments;
  protocol::BasicConsume consume;
  consume.queue = kStream;
  if (tracked_) {
    consume.consumer_tag = kTag;
    arguments.add("x-stream-offset", "first").add_bool("x-stream-automatic-offset-tracking", true);
  } else {
    arguments.add_int64("x-stream-offset", static_cast<std::int64_t>(*from));
  }
  consume.arguments = arguments.view();
  client_.call(consume);
}

void StreamReader::on_method(const protocol::Method& method, const Content& content) {
  const auto* deliver = std::get_if<protocol::BasicDeliver>(&method);
  require(deliver != nullptr, "a reader got " + protocol::print(method));
  const auto key = read_body(content.body);
  require(key.has_value(), "a message of the stream with a damaged body");
  const StreamLog::Offset offset = offset_of(content, *key);
  if (!next_) {
    log_.begins_at(offset);
    next_ = offset;
  }
  require(offset == *next_, at_offset(offset) + " came in place of " + std::to_string(*next_));
  log_.seen(offset, *key);
  next_ = offset + 1;
  ++held_;
  // The others would run out of credit.
  if (!resting_ && (held_ >= kPrefetch / 2 || world_.dice.one_in(20)))
    acknowledge(deliver->delivery_tag);
}

void StreamReader::acknowledge(std::uint64_t tag) {
  protocol::BasicAck ack;
  ack.delivery_tag = tag;
  ack.multiple = true;
  client_.send(ack);
  held_ = 0;
  if (tracked_) log_.acknowledged_below(*next_);
}

std::uint32_t StreamReader::count() {
  const Answer answer = client_.look_at(kStream);
  require(answer.ok(), "the stream: " + answer.text);
  return answer.message_count;
}

void StreamReader::finish() { count(); }

}  // namespace harrier::crash_tests
