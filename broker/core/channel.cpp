// SPDX-License-Identifier: Apache-2.0
#include "broker/core/channel.hpp"

#include <utility>

#include "broker/core/channel_impl.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

Channel::Channel(Session& session, ChannelRef ref) : session_(session), ref_(ref) {}

Engine& Channel::engine() { return session_.engine(); }

void Channel::handle(const protocol::Method& method) {
  std::visit([this](const auto& m) { on(m); }, method);
}

// Legal only from a server to a client, or on channel 0 (C-087, C-088, C-140).
template <class M>
void Channel::on(const M&) {
  throw AmqpError(ReplyCode::CommandInvalid, "unimplemented method");
}

void Channel::on(const protocol::ChannelFlow& method) {
  if (!method.active) throw AmqpError(ReplyCode::NotImplemented, "active=false");
  protocol::ChannelFlowOk ok;
  ok.active = true;
  send(ok);
}

void Channel::on(const protocol::AccessRequest&) {
  protocol::AccessRequestOk ok;
  ok.ticket = 1;
  send(ok);
}

ReplyTo Channel::ask(std::function<void(Reply&)> then) {
  return session_.park(1, [then = std::move(then)](Reply& reply) {
    if (auto* refused = std::get_if<Refused>(&reply.result)) {
      throw AmqpError(refused->code, std::move(refused->explanation));
    }
    then(reply);
  });
}

void Channel::change_definitions(decltype(ControlRequest::change) change,
                                 std::function<void(Reply&)> then) {
  const ReplyTo to = ask(std::move(then));
  engine().send(kControlShard, ControlRequest{to, session_.vhost().name, std::move(change)});
}

void Channel::forget_consumers() {
  consumers_.clear();
  tags_.clear();
  grant_queue_.clear();
  assembler_.set_reply_to("");
  direct_reply_tag_.clear();
  tx_publishes_.clear();
  committing_ = false;  // a commit's late answers must not end the wait for the release
}

void Channel::on_publish_settled(const PublishSettled& settled) {
  if (transactional_) {
    tx_refused_ = tx_refused_ || !settled.accepted;
    --tx_unsettled_;
    finish_commit_if_settled();
    return;
  }
  if (!confirms_) return;
  confirms_->settle(settled.confirm, settled.accepted);
  if (confirms_->has_settled() && !std::exchange(confirms_listed_, true))
    session_.list_for_confirms(number());
}

void Channel::flush_confirms() {
  confirms_listed_ = false;
  if (!confirms_) return;
  confirms_->flush(
      [this](std::uint64_t sequence, bool multiple) {
        protocol::BasicAck ack;
        ack.delivery_tag = sequence;
        ack.multiple = multiple;
        send(ack);
      },
      [this](std::uint64_t sequence) {
        protocol::BasicNack nack;
        nack.delivery_tag = sequence;
        nack.requeue = false;  // C-377
        send(nack);
      });
}

}  // namespace harrier::broker
