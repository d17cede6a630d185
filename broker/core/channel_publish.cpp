// SPDX-License-Identifier: Apache-2.0
//
// basic.publish from its complete content to its queues (conformance 5.4, 5.5, 8.11).
#include "broker/core/channel_impl.hpp"
#include "broker/core/direct_reply.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/publish_checks.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

// The order of the checks is that of C-304.
void Channel::publish(protocol::Publish publish) {
  if (publish.immediate) throw AmqpError(ReplyCode::NotImplemented, "immediate=true");
  if (!publish.message) {
    const std::uint64_t limit = engine().options().message_size_max;
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "message size " + std::to_string(publish.body_size) +
                        " is larger than configured max size " + std::to_string(limit));
  }
  const protocol::Message& message = *publish.message;
  session_.access().need_exchange(Right::Write, message.exchange());
  const routing::Exchange& exchange = existing_exchange(message.exchange());
  if (exchange.internal) {
    throw AmqpError(
        ReplyCode::AccessRefused,
        "cannot publish to internal " + in_vhost("exchange", exchange.name, session_.vhost().name));
  }
  check_properties(publish, exchange);
  if (exchange.name.empty() && message.routing_key().starts_with(kReplyToPrefix)) {
    if (transactional_) {
      tx_publishes_.push_back({{}, std::move(publish.message), publish.mandatory, true});
    } else {
      publish_direct_reply(publish.message, publish.mandatory);
    }
    return;
  }

  const auto request = routing::request_for(exchange, message, publish.extra_keys);
  const bool reached = engine().router().route(*session_.vhost().topology, request, routed_);

  if (is_traced(publish.message)) trace_published(publish);
  const bool returned = !reached && publish.mandatory;
  if (transactional_) {  // routed now, enqueued at commit (C-387); returns wait too (C-326)
    tx_publishes_.push_back({routed_, std::move(publish.message), returned, false, exchange.dedup});
    return;
  }
  if (returned) send_return(publish.message);
  publish_to(routed_, publish.message, exchange.dedup);
}

void Channel::check_properties(const protocol::Publish& publish,
                               const routing::Exchange& exchange) {
  const protocol::PropertiesView properties = publish.message->properties();
  if (properties.has(protocol::kReplyTo) && properties.text(protocol::kReplyTo) == kReplyToName) {
    // The assembler has replaced the name where this channel has a reply consumer (C-490).
    throw AmqpError(ReplyCode::PreconditionFailed, "fast reply consumer does not exist");
  }
  if (properties.has(protocol::kExpiration)) check_expiration(properties);
  if (!publish.bad_sender_selected_header.empty()) {
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "invalid message: {unacceptable_type_in_header,\"" +
                        publish.bad_sender_selected_header + "\"," +
                        publish.bad_sender_selected_type + "}");
  }
  if (session_.access().restricted() &&
      routing::routing_type(exchange) == routing::ExchangeType::Topic) {
    need_topics(publish);
  }
  if (properties.has(protocol::kUserId)) {
    check_user_id(properties, session_.user().name, session_.user().has_tag(kImpersonatorTag));
  }
}

void Channel::need_topics(const protocol::Publish& publish) {
  const protocol::Message& message = *publish.message;
  const Access& access = session_.access();
  access.need_topic(Right::Write, message.exchange(), message.routing_key());
  for (const std::string& key : publish.extra_keys)
    access.need_topic(Right::Write, message.exchange(), key);
}

void Channel::publish_to(const std::vector<QueueId>& queues, const MessagePtr& message,
                         routing::DedupRule dedup) {
  const std::uint64_t confirm =
      confirms_ ? confirms_->add(static_cast<std::uint32_t>(queues.size())) : 0;
  for (const QueueId queue : queues) {
    engine().publish({queue, message, ref_, confirm, dedup});
    if (engine().congested(shard_of(queue, engine().shards()))) session_.await_window();
  }
  if (confirms_ && confirms_->has_settled() && !std::exchange(confirms_listed_, true)) {
    session_.list_for_confirms(number());
  }
}

void Channel::send_return(const MessagePtr& message) {
  protocol::BasicReturn method;
  method.reply_code = static_cast<std::uint16_t>(ReplyCode::NoRoute);
  method.reply_text = "NO_ROUTE";
  method.exchange = message->exchange();
  method.routing_key = message->routing_key();
  send(method);
  session_.send_content(number(), message);
}

// A reply goes straight to the channel that waits for it: never stored, and confirmed at once,
// arrived or not. A name of the right form counts as routed even if nobody waits any more (C-328,
// C-497).
void Channel::publish_direct_reply(const MessagePtr& message, bool mandatory) {
  const std::string name(message->routing_key());
  const auto target = parse_direct_reply_name(name);
  if (!target && mandatory) send_return(message);
  if (target) engine().send_to_connection(target->connection, DirectReply{*target, name, message});
  publish_to({}, message);
}

}  // namespace harrier::broker
