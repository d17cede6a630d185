// SPDX-License-Identifier: Apache-2.0
//
// Consuming: consume, cancel, get, deliveries, and the direct reply-to pseudo queue
// (conformance 5.2, 5.3, 5.6, 5.7, 8.11).
#include "broker/core/arguments.hpp"
#include "broker/core/channel_impl.hpp"
#include "broker/core/direct_reply.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/stream_reader.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

void Channel::on(const protocol::BasicConsume& method) {
  const std::string tag = method.consumer_tag.empty() ? engine().random_name("amq.ctag-")
                                                      : std::string(method.consumer_tag);
  if (tags_.contains(tag) || (!direct_reply_tag_.empty() && direct_reply_tag_ == tag)) {
    throw AmqpError(ReplyCode::NotAllowed, "attempt to reuse consumer tag '" + tag + "'");
  }
  if (method.queue == kReplyToName) {
    consume_direct_reply(method, tag);
    return;
  }
  const std::string name = named_queue(method.queue);
  session_.access().need_queue(Right::Read, name);
  const routing::QueueEntry& queue = existing_queue(name);
  const std::string& vhost = session_.vhost().name;
  const QueueType type = read_queue_settings(queue.arguments).type;
  const ConsumerSettings settings = check_consumer_arguments(name, vhost, type, method.arguments);
  if (type != QueueType::Classic && global_limit_ != 0) {  // C-276
    throw AmqpError(ReplyCode::NotImplemented,
                    in_vhost("queue", name, vhost) + " does not support global qos");
  }

  std::shared_ptr<const StreamSubscription> subscription;
  if (type == QueueType::Stream) {
    check_stream_consumer(name, method.no_ack);
    subscription = std::make_shared<const StreamSubscription>(StreamSubscription{
        std::string(method.consumer_tag), settings.stream_offset, settings.stream_filters,
        settings.stream_match_unfiltered, settings.stream_tracks_offset});
  }

  const std::uint32_t number = session_.next_consumer_number();
  Consumer consumer;
  consumer.tag = tag;
  consumer.queue = queue.id;
  consumer.no_ack = method.no_ack;
  consumer.prefetch = default_prefetch_;
  Consume request;
  request.queue = queue.id;
  request.consumer = {ref_, number};
  request.priority = settings.priority;
  request.prefetch = consumer.prefetch;
  request.no_ack = method.no_ack;
  request.exclusive = method.exclusive;
  request.gated = global_limit_ != 0;
  if (settings.timeout_ms > 0) request.timeout_ms = settings.timeout_ms;
  request.stream = std::move(subscription);
  session_.touch(queue.id, *this);
  request.reply = ask([this, number, consumer, name, nowait = method.nowait](Reply& reply) {
    if (std::holds_alternative<QueueMissing>(reply.result)) {
      throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, session_.vhost().name));
    }
    consumers_.emplace(number, consumer);
    tags_.emplace(consumer.tag, number);
    if (nowait) return;
    protocol::BasicConsumeOk ok;
    ok.consumer_tag = consumer.tag;
    send(ok);
  });
  engine().send_to_queue(queue.id, std::move(request));
}

// What is read from a log is paced by its reader (C-477, C-478).
void Channel::check_stream_consumer(const std::string& name, bool no_ack) const {
  const std::string subject = "stream " + in_vhost("queue", name, session_.vhost().name);
  if (no_ack)
    throw AmqpError(ReplyCode::NotImplemented,
                    "automatic acknowledgement not supported by " + subject);
  if (default_prefetch_ == 0) {
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "consumer prefetch count is not set for " + subject);
  }
}

void Channel::on(const protocol::BasicCancel& method) {
  const auto answer = [this, tag = std::string(method.consumer_tag), nowait = method.nowait] {
    if (nowait) return;
    protocol::BasicCancelOk ok;
    ok.consumer_tag = tag;
    send(ok);
  };
  if (!direct_reply_tag_.empty() && direct_reply_tag_ == method.consumer_tag) {
    direct_reply_tag_.clear();
    assembler_.set_reply_to("");
    answer();
    return;
  }
  const auto at = tags_.find(std::string(method.consumer_tag));
  if (at == tags_.end()) {  // C-295
    answer();
    return;
  }
  const std::uint32_t number = at->second;
  const QueueId queue = consumers_.at(number).queue;
  const ReplyTo to = ask([this, number, answer](Reply&) {
    erase_consumer(number);
    answer();
  });
  engine().send_to_queue(queue, Cancel{queue, {ref_, number}, to});
}

// The answer to our own basic.cancel; nothing hangs on it (C-300).
void Channel::on(const protocol::BasicCancelOk&) {}

void Channel::erase_consumer(std::uint32_t number) {
  const auto at = consumers_.find(number);
  if (at == consumers_.end()) return;
  granted_ -= std::min(granted_, at->second.granted);
  std::erase(grant_queue_, number);
  tags_.erase(at->second.tag);
  consumers_.erase(at);
  give_grants();
}

void Channel::on_consumer_cancelled(std::uint32_t number, bool tell_client) {
  const auto at = consumers_.find(number);
  if (at == consumers_.end()) return;
  const std::string tag = at->second.tag;
  erase_consumer(number);
  if (!tell_client) return;
  protocol::BasicCancel cancel;
  cancel.consumer_tag = tag;
  cancel.nowait = true;
  send(cancel);
}

std::uint64_t Channel::send_deliver(std::string_view tag, bool redelivered, std::uint32_t returns,
                                    const MessagePtr& message,
                                    std::optional<std::int64_t> stream_offset) {
  protocol::BasicDeliver method;
  method.consumer_tag = tag;
  method.delivery_tag = ++last_delivery_tag_;
  method.redelivered = redelivered;
  method.exchange = message->exchange();
  method.routing_key = message->routing_key();
  send(method);
  session_.send_content(number(), message, returns, stream_offset);
  return method.delivery_tag;
}

void Channel::on_delivery(Delivery& delivery) {
  const auto at = consumers_.find(delivery.consumer.consumer);
  if (at == consumers_.end()) return;  // gone with its queue
  Consumer& consumer = at->second;
  if (is_traced(delivery.message))
    trace_delivered(delivery.queue, delivery.redelivered, delivery.message);
  std::optional<std::int64_t> offset;
  if (delivery.shows_offset) offset = static_cast<std::int64_t>(delivery.seq) - 1;
  const std::uint64_t tag =
      send_deliver(consumer.tag, delivery.redelivered, delivery.returns, delivery.message, offset);
  if (consumer.granted > 0) {
    --consumer.granted;
    --granted_;
  }
  if (consumer.no_ack) {
    if (!grant_queue_.empty()) give_grants();
  } else {
    unacked_.insert(tag, {delivery.queue, delivery.seq, delivery.slot, true, false,
                          static_cast<std::uint16_t>(delivery.returns)});
    ++outstanding_;
  }
  // Credit for the write buffer goes back in quarters of the limit, not one by one.
  const UnsentLimits& limits = engine().options().unsent;
  const auto due = [&] {
    return consumer.sent_messages >= std::max(limits.messages_max / 4, 1u) ||
           consumer.sent_bytes >= std::max<std::uint64_t>(limits.bytes_max / 4, 1);
  };
  const bool was_due = consumer.sent_messages > 0 && due();
  consumer.sent_messages += 1;
  consumer.sent_bytes += delivery.message->body().size();
  if (!was_due && due()) session_.list_for_credit(number(), at->first);
}

void Channel::return_credit(std::uint32_t number) {
  const auto at = consumers_.find(number);
  if (at == consumers_.end()) return;
  Consumer& consumer = at->second;
  Sent sent{consumer.queue, {ref_, number}, consumer.sent_messages, consumer.sent_bytes};
  consumer.sent_messages = 0;
  consumer.sent_bytes = 0;
  engine().send_to_queue(consumer.queue, sent);
}

void Channel::on(const protocol::BasicGet& method) {
  const std::string name = named_queue(method.queue);
  session_.access().need_queue(Right::Read, name);
  const routing::QueueEntry& entry = existing_queue(name);
  refuse_stream(entry, "basic.get");
  const QueueId queue = entry.id;
  if (!method.no_ack) session_.touch(queue, *this);
  const ReplyTo to = ask([this, name, no_ack = method.no_ack](Reply& reply) {
    if (std::holds_alternative<QueueMissing>(reply.result)) {
      throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, session_.vhost().name));
    }
    const GetResult& got = std::get<GetResult>(reply.result);
    if (!got.message) {
      send(protocol::BasicGetEmpty{});
      return;
    }
    if (is_traced(got.message)) trace_delivered(got.queue, got.redelivered, got.message);
    protocol::BasicGetOk ok;
    ok.delivery_tag = ++last_delivery_tag_;
    ok.redelivered = got.redelivered;
    ok.exchange = got.message->exchange();
    ok.routing_key = got.message->routing_key();
    ok.message_count = got.remaining;
    if (!no_ack) {
      unacked_.insert(ok.delivery_tag, {got.queue, got.seq, got.slot, false, false,
                                        static_cast<std::uint16_t>(got.returns)});
    }
    send(ok);
    session_.send_content(number(), got.message, got.returns);
  });
  engine().send_to_queue(queue, Get{queue, ref_, method.no_ack, to});
}

// ---- direct reply-to ----

void Channel::consume_direct_reply(const protocol::BasicConsume& method, const std::string& tag) {
  if (!method.no_ack)
    throw AmqpError(ReplyCode::PreconditionFailed, "reply consumer cannot acknowledge");
  if (!direct_reply_tag_.empty())
    throw AmqpError(ReplyCode::PreconditionFailed, "reply consumer already set");
  direct_reply_tag_ = tag;
  assembler_.set_reply_to(make_direct_reply_name(ref_, engine().random_name("")));
  if (method.nowait) return;
  protocol::BasicConsumeOk ok;
  ok.consumer_tag = tag;
  send(ok);
}

void Channel::on_direct_reply(const DirectReply& reply) {
  if (direct_reply_tag_.empty() || reply.name != direct_reply_name()) return;  // C-492: silently
  // Replies have no credit; to who does not read they are lost (C-497).
  if (session_.output().size() >= engine().options().output_high_bytes) return;
  send_deliver(direct_reply_tag_, false, 0, reply.message);
}

// The bare name is always there; a full one while its requester waits (C-493).
void Channel::declare_reply_to(const std::string& name, bool nowait) {
  const auto answer = [this, name, nowait] {
    if (nowait) return;
    protocol::QueueDeclareOk ok;
    ok.queue = name;
    ok.message_count = 0;
    ok.consumer_count = 1;
    send(ok);
  };
  if (name == kReplyToName) {
    answer();
    return;
  }
  const auto missing = [this, name] {
    throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, session_.vhost().name));
  };
  const auto target = parse_direct_reply_name(name);
  if (!target) missing();
  const ReplyTo to = ask([answer, missing](Reply& reply) {
    if (std::holds_alternative<QueueMissing>(reply.result)) missing();
    answer();
  });
  engine().send_to_connection(target->connection, ProbeDirectReply{*target, name, to});
}

}  // namespace harrier::broker
