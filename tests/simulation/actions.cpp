// SPDX-License-Identifier: Apache-2.0
//
// What a simulated client does: one random action at a time, among those that its state allows.
#include <algorithm>
#include <utility>

#include "tests/simulation/client.hpp"

namespace harrier::simulation {

using protocol::Method;

namespace {

constexpr std::size_t kChannelsMax = 3;
constexpr std::size_t kConsumersMax = 4;

}  // namespace

void Client::act() {
  if (state_ != State::Running) return;
  const auto usable = [](const Channel& channel) { return channel.usable(); };
  const std::size_t choice = dice_.below(100);
  if (choice < 35) {
    Channel* channel = pick_channel(usable);
    for (std::size_t n = channel ? dice_.between(1, 6) : 0; n > 0; --n) publish(*channel);
  } else if (choice < 65) {
    Channel* channel = pick_channel(
        [](const Channel& c) { return c.usable() && !c.recovering && !c.held.empty(); });
    if (channel != nullptr) settle(*channel);
  } else if (dice_.chance(request_ ? 5 : 1)) {
    cut();  // rather in the middle of something
  } else if (!request_) {
    ask_something();
  }
}

void Client::ask_something() {
  Channel* channel = pick_channel([](const Channel& c) { return c.usable(); });
  if (channels_.size() < kChannelsMax && (channel == nullptr || dice_.chance(15))) {
    open_channel();
    return;
  }
  if (channel == nullptr) return;
  switch (dice_.below(20)) {
    case 0:
    case 1:
    case 2:
    case 3:
      consume(*channel);
      return;
    case 4:
    case 5:
      cancel(*channel);
      return;
    case 6:
    case 7:
      get(*channel);
      return;
    case 8:
    case 9:
      set_qos(*channel);
      return;
    case 10:
      recover(*channel);
      return;
    case 11:
      select_mode(*channel);
      return;
    case 12:
    case 13:
    case 14:
      end_transaction(*channel);
      return;
    case 15:
      purge(*channel);
      return;
    case 16:
      dice_.chance(50) ? declare_exclusive(*channel) : declare_fresh(*channel);
      return;
    case 17:
      dice_.chance(50) ? change_volatile(*channel) : change_bindings(*channel);
      return;
    case 18:
      provoke(*channel);
      return;
    default:
      if (dice_.chance(60)) {
        close_channel();
      } else {
        dice_.chance(50) ? close() : cut();
      }
  }
}

Client::Channel* Client::pick_channel(const std::function<bool(const Channel&)>& fits) {
  std::vector<Channel*> fitting;
  for (auto& [number, channel] : channels_) {
    if (fits(channel)) fitting.push_back(&channel);
  }
  return fitting.empty() ? nullptr : fitting[dice_.below(fitting.size())];
}

QueueNumber Client::pick_queue(const std::function<bool(QueueNumber)>& fits) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    const QueueNumber queue = dice_.below(ledger_.queue_count());
    if (fits(queue)) return queue;
  }
  return 0;
}

// Shared, or our own; one that may be missing is for channels that may fail.
bool Client::usable_queue(QueueNumber queue) const {
  const QueueKind kind = ledger_.queue_kind(queue);
  if (kind == QueueKind::Exclusive)
    return std::ranges::find(own_queues_, queue) != own_queues_.end();
  return kind != QueueKind::Volatile;
}

// ---- channels
// ------------------------------------------------------------------------------------

void Client::open_channel() {
  std::uint16_t number = 1;
  while (channels_.contains(number)) ++number;
  Channel& channel = channels_[number];
  channel.number = number;
  channel.serial = ledger_.new_channel();
  ask(number, protocol::ChannelOpen{}, {protocol::ChannelOpenOk::kId},
      [&channel](const Method&) { channel.open = true; });
}

void Client::close_channel() {
  Channel* channel = pick_channel([](const Channel& c) { return c.usable(); });
  channel->closing = true;
  // From now on the broker may give what this channel holds to others.
  ledger_.channel_over(channel->serial);
  ask(channel->number, protocol::ChannelClose{200, "done", 0, 0}, {protocol::ChannelCloseOk::kId},
      [this, number = channel->number](const Method&) { channel_over(number); });
}

void Client::provoke(Channel& channel) {
  if (!channel.clean()) return;
  channel.may_fail = true;
  switch (dice_.below(3)) {
    case 0:
      send(channel.number, protocol::BasicAck{1'000'000, false});
      return;
    case 1: {
      protocol::QueueDeclare declare;
      declare.queue = "sim.missing";
      declare.passive = true;
      send(channel.number, declare);
      return;
    }
    default: {
      protocol::QueueDeclare declare;
      declare.queue = "sim.strict.0";
      declare.auto_delete = true;
      send(channel.number, declare);
    }
  }
}

// ---- publishing
// ----------------------------------------------------------------------------------

void Client::publish(Channel& channel) {
  if (dice_.chance(5)) {
    if (const auto taken = ledger_.pick_taken(dice_)) publish_again(channel, *taken);
  }
  std::vector<QueueNumber> queues = {0, 1};
  protocol::BasicPublish method;
  if (dice_.chance(25)) {
    method.exchange = kFanout;
  } else {
    queues = {pick_queue([&](QueueNumber queue) {
      return usable_queue(queue) || ledger_.queue_kind(queue) == QueueKind::Volatile;
    })};
    method.routing_key = ledger_.queue_name(queues[0]);
    method.mandatory = dice_.chance(20) && ledger_.queue_kind(queues[0]) == QueueKind::Volatile;
  }
  const std::uint64_t message =
      ledger_.publish(channel.serial, queues, channel.transactional, dice_.chance(50),
                      static_cast<unsigned>(dice_.chance(50) ? dice_.below(7) : 0));
  if (channel.transactional) channel.transaction.push_back(message);
  if (channel.confirms) channel.unconfirmed.emplace(++channel.published, message);
  send(channel.number, method);
  send_content(channel.number, message);
  if (ledger_.deduplicated(message) && dice_.chance(30)) publish_again(channel, message);
}

// Inside a transaction or not: what becomes of it makes no difference.
void Client::publish_again(Channel& channel, std::uint64_t message) {
  ledger_.publish_again(message);
  if (channel.confirms) channel.unconfirmed.emplace(++channel.published, message);
  protocol::BasicPublish method;
  method.routing_key = ledger_.queue_name(kDedupQueue);
  send(channel.number, method);
  send_content(channel.number, message);
}

void Client::send_content(std::uint16_t channel, std::uint64_t message) {
  const Bytes body = Ledger::body(message);
  protocol::Properties properties;
  if (ledger_.persistent(message)) properties.delivery_mode = std::uint8_t{2};
  if (const unsigned priority = ledger_.priority(message); priority > 0)
    properties.priority = static_cast<std::uint8_t>(priority);
  if (const std::uint64_t group = group_of(message); group != 0) {
    properties.headers.emplace();
    properties.headers->add_int64(kGroupHeader, static_cast<std::int64_t>(group));
  }
  if (ledger_.deduplicated(message)) properties.message_id = std::to_string(message);
  const Bytes encoded = properties.encode();
  const auto frame = [&](protocol::FrameType type, const Bytes& payload) {
    Bytes out(payload.size() + protocol::kFrameOverhead);
    auto* at = protocol::put_frame_header(out.data(), type, channel, payload.size());
    protocol::put_u8(protocol::put_raw(at, payload), protocol::kFrameEnd);
    link_->to_broker.insert(link_->to_broker.end(), out.begin(), out.end());
  };
  Bytes header(protocol::kContentHeaderSize);
  protocol::put_content_header(header.data(), protocol::BasicPublish::kId.class_id, body.size());
  header.insert(header.end(), encoded.begin(), encoded.end());
  frame(protocol::FrameType::Header, header);
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t size = std::min(body.size() - at, dice_.between(1, 4'088));
    const auto begin = body.begin() + static_cast<std::ptrdiff_t>(at);
    frame(protocol::FrameType::Body, Bytes(begin, begin + static_cast<std::ptrdiff_t>(size)));
    at += size;
  }
}

void Client::select_mode(Channel& channel) {
  if (channel.confirms || channel.transactional) return;
  if (dice_.chance(50)) {
    ask(channel.number, protocol::ConfirmSelect{}, {protocol::ConfirmSelectOk::kId},
        [](const Method&) {});
    channel.confirms = true;  // what follows the method counts, answered or not
  } else {
    ask(channel.number, protocol::TxSelect{}, {protocol::TxSelectOk::kId}, [](const Method&) {});
    channel.transactional = true;
  }
}

bool Client::commit_many() {
  if (!idle()) return false;
  Channel* channel = pick_channel([](const Channel& c) { return c.usable() && !c.confirms; });
  if (channel == nullptr) {
    if (channels_.size() < kChannelsMax) open_channel();
    return false;
  }
  if (!std::exchange(channel->transactional, true)) {
    ask(channel->number, protocol::TxSelect{}, {protocol::TxSelectOk::kId}, [](const Method&) {});
    return false;
  }
  for (int i = 0; i < 12; ++i) publish(*channel);
  commit(*channel);
  return true;
}

void Client::end_transaction(Channel& channel) {
  if (!channel.transactional) return;
  if (dice_.chance(30)) {
    const auto messages = std::exchange(channel.transaction, {});
    for (const std::uint64_t message : messages) ledger_.rolled_back(message);
    for (auto& [tag, held] : channel.held) held.in_transaction = false;
    ask(channel.number, protocol::TxRollback{}, {protocol::TxRollbackOk::kId},
        [](const Method&) {});
    return;
  }
  commit(channel);
}

void Client::commit(Channel& channel) {
  const auto messages = std::exchange(channel.transaction, {});
  for (const std::uint64_t message : messages) ledger_.committing(message);
  std::vector<std::uint64_t> settled;
  std::vector<Copy*> gone;
  for (const auto& [tag, held] : channel.held) {
    if (!held.in_transaction) continue;
    settled.push_back(tag);
    if (!held.requeue) gone.push_back(held.copy);
  }
  const auto commit = ledger_.commit_asked(messages, std::move(gone));
  for (const std::uint64_t tag : settled) {
    const Held held = channel.held.at(tag);
    drop_hold(channel, tag);
    finish_settlement(channel, held, held.requeue);
  }
  ask(channel.number, protocol::TxCommit{}, {protocol::TxCommitOk::kId},
      [this, messages, commit](const Method&) {
        ledger_.commit_answered(commit);
        for (const std::uint64_t message : messages) confirmed(message);
      });
}

// ---- consuming
// -----------------------------------------------------------------------------------

void Client::settle(Channel& channel) {
  auto at = channel.held.begin();
  std::advance(
      at, static_cast<std::ptrdiff_t>(dice_.below(std::min<std::size_t>(channel.held.size(), 8))));
  if (at->second.in_transaction) return;
  const std::uint64_t tag = at->first;
  const bool multiple = dice_.chance(30);
  const std::size_t how = dice_.below(10);
  const bool requeue = how >= 7 && how < 9;
  if (how < 6) {
    send(channel.number, protocol::BasicAck{tag, multiple});
  } else if (how == 7 && !multiple) {
    send(channel.number, protocol::BasicReject{tag, true});
  } else {
    send(channel.number, protocol::BasicNack{tag, multiple, requeue});
  }
  std::vector<std::uint64_t> tags = {tag};
  if (multiple) {
    tags.clear();
    for (const auto& [held_tag, held] : channel.held) {
      if (held_tag <= tag && !held.in_transaction) tags.push_back(held_tag);
    }
  }
  for (const std::uint64_t each : tags) {
    Held& held = channel.held.at(each);
    if (channel.transactional) {
      held.in_transaction = true;
      held.requeue = requeue;
      continue;
    }
    const Held settled = held;
    drop_hold(channel, each);
    finish_settlement(channel, settled, requeue);
  }
}

void Client::finish_settlement(Channel& channel, Held held, bool requeue) {
  if (requeue) {
    Ledger::released(*held.copy);
    return;
  }
  Ledger::settling(*held.copy);
  settlements_.emplace_back(held.copy, channel.serial);
}

void Client::consume(Channel& channel) {
  if (channel.consumers.size() >= kConsumersMax) return;
  const bool may_be_missing = channel.clean() && dice_.chance(30);
  const QueueNumber queue = pick_queue([&](QueueNumber number) {
    return usable_queue(number) ||
           (may_be_missing && ledger_.queue_kind(number) == QueueKind::Volatile);
  });
  const bool no_ack = ledger_.queue_kind(queue) == QueueKind::Lossy && dice_.chance(60);
  start_consumer(channel, queue, no_ack, channel.clean() && dice_.chance(10));
}

void Client::start_consumer(Channel& channel, QueueNumber queue, bool no_ack, bool exclusive) {
  // Another client's exclusive consumer may be in the way, so it is refused where nothing is lost.
  const bool risky = exclusive || ledger_.queue_kind(queue) == QueueKind::Volatile;
  const std::string tag = "c" + std::to_string(++last_consumer_);
  protocol::BasicConsume method;
  const std::string& name = ledger_.queue_name(queue);
  method.queue = name;
  method.consumer_tag = tag;
  method.no_ack = no_ack;
  method.exclusive = exclusive && ledger_.queue_kind(queue) == QueueKind::Volatile;
  channel.may_fail = risky;
  protocol::Table arguments;
  if (dice_.chance(20))
    arguments.add_int32("x-priority", static_cast<std::int32_t>(dice_.below(3)));
  method.arguments = arguments.view();
  Consumer& consumer = channel.consumers[tag];
  consumer.queue = queue;
  consumer.no_ack = no_ack;
  consumer.prefetch = no_ack ? 0 : channel.next_prefetch;
  ask(channel.number, method, {protocol::BasicConsumeOk::kId},
      [&channel, &consumer, tag](const Method& answer) {
        require(std::get<protocol::BasicConsumeOk>(answer).consumer_tag == tag, "another tag");
        consumer.started = true;
        channel.may_fail = false;
      });
}

void Client::cancel(Channel& channel) {
  if (channel.consumers.empty()) return;
  auto at = channel.consumers.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(channel.consumers.size())));
  protocol::BasicCancel method;
  const std::string tag = at->first;
  method.consumer_tag = tag;
  at->second.leaving = true;
  ledger_.consumer_leaves(channel.serial, tag);
  ask(channel.number, method, {protocol::BasicCancelOk::kId},
      [&channel, tag](const Method&) { channel.consumers.erase(tag); });
}

void Client::get(Channel& channel) {
  const QueueNumber queue = pick_queue([&](QueueNumber number) { return usable_queue(number); });
  const bool no_ack = ledger_.queue_kind(queue) == QueueKind::Lossy && dice_.chance(50);
  protocol::BasicGet method;
  const std::string& name = ledger_.queue_name(queue);
  method.queue = name;
  method.no_ack = no_ack;
  ask(channel.number, method, {protocol::BasicGetOk::kId, protocol::BasicGetEmpty::kId},
      [this, &channel, queue, no_ack](const Method& answer) {
        const auto* ok = std::get_if<protocol::BasicGetOk>(&answer);
        if (ok == nullptr) return;
        require(ok->delivery_tag == channel.last_tag + 1, "delivery tags are not consecutive");
        channel.last_tag = ok->delivery_tag;
        channel.content = Content{[this, &channel, queue, no_ack, tag = ok->delivery_tag,
                                   redelivered = ok->redelivered](std::uint64_t message) {
          if (channel.gives_back()) return;
          Copy& copy = ledger_.delivered(message, queue, redelivered, channel.serial, no_ack);
          check_level(message, queue, redelivered);
          if (!no_ack) hold(channel, tag, {&copy, ""});
        }};
      });
}

void Client::set_qos(Channel& channel) {
  protocol::BasicQos method;
  method.global = dice_.chance(40);
  method.prefetch_count = static_cast<std::uint16_t>(dice_.chance(20) ? 0 : dice_.between(1, 6));
  ask(channel.number, method, {protocol::BasicQosOk::kId},
      [&channel, global = method.global, count = method.prefetch_count](const Method&) {
        channel.global_now = global ? count : 0;
        if (!global) {
          channel.next_prefetch = count;
          channel.global_limit = 0;
        } else if (channel.global_limit != 0 && count != 0) {
          // Leave that was given under a higher limit may still be used.
          channel.global_limit = std::max<std::uint32_t>(channel.global_limit, count);
        } else {
          channel.global_limit = count;
        }
      });
  // Deliveries from now to the answer may come under either limit; a higher one holds till then.
  if (method.global && channel.global_limit != 0) {
    channel.global_limit =
        method.prefetch_count == 0
            ? 0
            : std::max<std::uint32_t>(channel.global_limit, method.prefetch_count);
  } else {
    channel.global_limit = 0;
  }
}

void Client::recover(Channel& channel) {
  if (channel.held.empty()) return;
  std::vector<std::uint64_t> tags;
  for (const auto& [tag, held] : channel.held) {
    if (!held.in_transaction) tags.push_back(tag);
  }
  for (const std::uint64_t tag : tags) {
    const Held held = channel.held.at(tag);
    drop_hold(channel, tag);
    Ledger::released(*held.copy);
  }
  channel.recovering = true;
  ask(channel.number, protocol::BasicRecover{true}, {protocol::BasicRecoverOk::kId},
      [&channel](const Method&) { channel.recovering = false; });
}

}  // namespace harrier::simulation
