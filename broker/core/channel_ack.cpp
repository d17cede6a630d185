// SPDX-License-Identifier: Apache-2.0
//
// Settling deliveries and limiting them: ack, nack, reject, recover, qos
// (conformance 5.1, 5.8, 5.9).

#include <algorithm>

#include "broker/core/channel_impl.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

void Channel::on(const protocol::BasicAck& method) {
  settle_tags(method.delivery_tag, method.multiple, Outcome::Ack);
}

void Channel::on(const protocol::BasicNack& method) {
  settle_tags(method.delivery_tag, method.multiple,
              method.requeue ? Outcome::Requeue : Outcome::Discard);
}

void Channel::on(const protocol::BasicReject& method) {
  settle_tags(method.delivery_tag, false, method.requeue ? Outcome::Fail : Outcome::Discard);
}

void Channel::settle_tags(std::uint64_t tag, bool multiple, Outcome outcome) {
  const bool everything = multiple && tag == 0;  // C-348
  if (!everything) {
    const Unacked* unacked = unacked_.find(tag);
    if (unacked == nullptr || unacked->in_transaction) {
      throw AmqpError(ReplyCode::PreconditionFailed, "unknown delivery tag " + std::to_string(tag));
    }
  }
  const std::uint64_t last = everything ? last_delivery_tag_ : tag;
  if (transactional_) {
    const auto mark = [&](std::uint64_t key, Unacked& unacked) {
      if (unacked.in_transaction || (!multiple && key != tag)) return;
      unacked.in_transaction = true;
      tx_settles_.push_back({key, outcome});
    };
    if (multiple) {
      unacked_.for_each_to(last, mark);
    } else {
      mark(tag, *unacked_.find(tag));
    }
    return;
  }
  if (multiple) {
    std::vector<Unacked> together;
    unacked_.take_to(last, [&](std::uint64_t, Unacked unacked) { together.push_back(unacked); });
    settle_together(together, outcome);
  } else {
    settle(*unacked_.take(tag), outcome, false);
  }
  if (!grant_queue_.empty()) give_grants();
}

void Channel::settle(const Unacked& unacked, Outcome outcome, bool more) {
  if (unacked.from_consumer) --outstanding_;
  engine().settle({unacked.queue, unacked.seq, unacked.slot, outcome, more, unacked.attempt});
}

void Channel::settle_together(const std::vector<Unacked>& together, Outcome outcome) {
  std::vector<QueueId> ended;  // queues whose last one has been met, from behind
  std::vector<bool> more(together.size());
  for (std::size_t i = together.size(); i-- > 0;) {
    more[i] = std::ranges::find(ended, together[i].queue) != ended.end();
    if (!more[i]) ended.push_back(together[i].queue);
  }
  for (std::size_t i = 0; i < together.size(); ++i) settle(together[i], outcome, more[i]);
}

void Channel::on(const protocol::BasicRecover& method) {
  if (!method.requeue) throw AmqpError(ReplyCode::NotImplemented, "requeue=false");
  send(protocol::BasicRecoverOk{});
  recover();
}

void Channel::on(const protocol::BasicRecoverAsync& method) {
  if (!method.requeue) throw AmqpError(ReplyCode::NotImplemented, "requeue=false");
  recover();
}

// Everything goes back at once and may come straight back, under new tags; what a transaction has
// settled stays (C-360).
void Channel::recover() {
  std::vector<std::uint64_t> tags;
  unacked_.for_each_to(last_delivery_tag_, [&](std::uint64_t tag, const Unacked& unacked) {
    if (!unacked.in_transaction) tags.push_back(tag);
  });
  std::vector<Unacked> together;
  for (const std::uint64_t tag : tags) together.push_back(*unacked_.take(tag));
  settle_together(together, Outcome::Requeue);
  give_grants();
}

// ---- qos ----

void Channel::on(const protocol::BasicQos& method) {
  if (method.prefetch_size != 0) {
    throw AmqpError(ReplyCode::NotImplemented,
                    "prefetch_size!=0 (" + std::to_string(method.prefetch_size) + ")");
  }
  const bool had_limit = global_limit_ != 0;
  bool touches_consumers = false;
  if (method.global) {
    global_limit_ = method.prefetch_count;
    touches_consumers = had_limit != (global_limit_ != 0);
  } else {
    default_prefetch_ = method.prefetch_count;
    global_limit_ = 0;  // C-267
    touches_consumers = had_limit;
    if (session_.updates_consumers_on_qos()) {
      for (auto& [number, consumer] : consumers_) consumer.prefetch = default_prefetch_;
      touches_consumers = true;
    }
  }
  if (touches_consumers && !consumers_.empty()) {
    update_consumers([this] {
      send(protocol::BasicQosOk{});
      give_grants();
    });
    return;
  }
  send(protocol::BasicQosOk{});
  give_grants();
}

// Tells every queue what now holds for its consumer; `then` runs when all know, and no earlier
// grant is on its way.
void Channel::update_consumers(std::function<void()> then) {
  auto waiting = std::make_shared<std::size_t>(consumers_.size());
  const ReplyTo to =
      session_.park(static_cast<unsigned>(consumers_.size()), [this, waiting, then](Reply&) {
        if (--*waiting > 0) return;
        updating_consumers_ = false;
        granted_ = 0;
        for (auto& [number, consumer] : consumers_) consumer.granted = 0;
        then();
      });
  std::vector<SetPrefetch> changes;
  for (const auto& [number, consumer] : consumers_) {
    changes.push_back({consumer.queue, {ref_, number}, consumer.prefetch, global_limit_ != 0, to});
  }
  grant_queue_.clear();
  engine().drop_deferred(ref_);
  updating_consumers_ = true;
  for (const SetPrefetch& change : changes) engine().send_to_queue(change.queue, change);
}

void Channel::on_grant_wanted(std::uint32_t number) {
  if (!consumers_.contains(number)) return;
  grant_queue_.push_back(number);
  give_grants();
}

void Channel::on_grant_returned(std::uint32_t number, std::uint32_t count) {
  const auto at = consumers_.find(number);
  if (at == consumers_.end()) return;
  count = std::min(count, at->second.granted);
  at->second.granted -= count;
  granted_ -= count;
  give_grants();
}

// One message at a time to each consumer that asked, in turn, while the channel-wide limit has
// room: no queue starves (C-274). Sent later in the turn: this may run inside a call from the very
// queue that asked.
void Channel::give_grants() {
  if (updating_consumers_) return;
  if (global_limit_ == 0) grant_queue_.clear();  // asked for under a limit that is no more
  while (!grant_queue_.empty() && (global_limit_ == 0 || outstanding_ + granted_ < global_limit_)) {
    const std::uint32_t number = grant_queue_.front();
    grant_queue_.pop_front();
    const auto at = consumers_.find(number);
    if (at == consumers_.end()) continue;
    ++at->second.granted;
    ++granted_;
    engine().defer(Grant{at->second.queue, {ref_, number}, 1});
  }
}

}  // namespace harrier::broker
