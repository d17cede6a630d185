// SPDX-License-Identifier: Apache-2.0
#include "broker/core/delayed_exchange.hpp"

#include <limits>
#include <utility>
#include <vector>

#include "protocol/private_headers.hpp"
#include "routing/delay.hpp"

namespace harrier::broker {

namespace {

// The message as it is routed: who gets it sees that it has waited, and it does not wait again
// (C-513).
MessagePtr after_delay(const MessagePtr& delayed) {
  const protocol::Message& message = *delayed;
  const protocol::PropertiesView properties = message.properties();
  const auto value = properties.headers().find(routing::kDelayHeader);
  const auto delay = routing::delay_ms(value);
  if (!delay) return delayed;
  if (value->tag == 'I') {  // as most clients write it: in its place
    std::vector<std::uint8_t> edited(message.property_bytes().begin(),
                                     message.property_bytes().end());
    const auto at = value->payload.data() - message.property_bytes().data();
    protocol::put_u32(edited.data() + at, static_cast<std::uint32_t>(-*delay));
    return protocol::Message::create(message.exchange(), message.routing_key(), edited,
                                     message.body());
  }
  protocol::Table headers(properties.headers());
  headers.remove(routing::kDelayHeader);
  if (*delay <= std::numeric_limits<std::int32_t>::max()) {
    headers.add_int32(routing::kDelayHeader, static_cast<std::int32_t>(-*delay));
  } else {
    headers.add_int64(routing::kDelayHeader, -*delay);
  }
  return protocol::Message::create(
      message.exchange(), message.routing_key(),
      protocol::with_private_headers(properties, std::move(headers),
                                     protocol::read_private_headers(properties)),
      message.body());
}

// What stands for a cancel until it is done: nothing but the id, and what makes it one.
MessagePtr wish_of(const protocol::Message& message) {
  protocol::Properties properties;
  properties.headers = protocol::Table().add_bool(routing::kCancelHeader, true);
  properties.message_id = std::string(message_id_of(message));
  if (message.persistent()) properties.delivery_mode = 2;
  return protocol::Message::create(message.exchange(), message.routing_key(), properties.encode(),
                                   {});
}

}  // namespace

bool DelayedExchange::is_wish(const protocol::Message& message) {
  const protocol::TableView headers = message.properties().headers();
  return routing::cancels_delayed(headers) || routing::replaces_delayed(headers);
}

bool DelayedExchange::publish(MessagePtr message, Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  const protocol::TableView headers = message->properties().headers();
  const bool cancels = routing::cancels_delayed(headers);
  bool stored = false;
  if (cancels || routing::replaces_delayed(headers)) stored = cancel(message, outlet);
  if (cancels) return stored;
  Delayed delayed;
  delayed.due_ms = now + routing::delay_ms(headers).value_or(0);
  delayed.enqueued_ms = now;
  delayed.message = std::move(message);
  return messages_.add(std::move(delayed), outlet) || stored;
}

// True if the store has something to do for it.
bool DelayedExchange::cancel(const MessagePtr& message, Outlet& outlet) {
  const std::string_view id = message_id_of(*message);
  if (id.empty()) return false;
  struct Found {
    Seq seq = 0;
    bool stored = false;
    MessagePtr message;
  };
  std::vector<Found> found;
  for (const Delayed* delayed : messages_.in_memory_with_id(id)) {
    if (!routing::cancels_delayed(delayed->message->properties().headers()))
      found.push_back({delayed->seq, delayed->stored, delayed->message});
  }
  bool stored = false;
  for (const Found& each : found) {
    remove(each.seq, each.stored, *each.message, outlet);
    stored = stored || each.stored;
  }
  if (messages_.all_in_memory()) return stored;
  Delayed wish;
  wish.enqueued_ms = outlet.unix_ms();
  // Before all that may be due from now on, what shares a step with it included.
  wish.due_ms = wish.enqueued_ms - DelayedMessages::kStepMs;
  wish.message = wish_of(*message);
  return messages_.add(std::move(wish), outlet) || stored;
}

void DelayedExchange::remove(Seq seq, bool stored, const protocol::Message& message,
                             Outlet& outlet) {
  messages_.remove(seq, message, outlet);
  if (stored) outlet.record(persistence::Settle{messages_.part(), seq});
}

bool DelayedExchange::release(Outlet& outlet) {
  const Millis now = outlet.unix_ms();
  while (messages_.next_due() <= now) {
    if (!outlet.may_release_delayed()) {
      scan(outlet);
      return true;
    }
    const Delayed delayed = *messages_.take_due(now);
    if (routing::cancels_delayed(delayed.message->properties().headers())) {
      next_pass_.add(std::string(message_id_of(*delayed.message)), delayed.enqueued_ms);
      if (delayed.stored) next_pass_.stored_at(delayed.seq);
      continue;
    }
    if (delayed.stored) outlet.record(persistence::Settle{messages_.part(), delayed.seq});
    if (!is_cancelled(*delayed.message, delayed.enqueued_ms)) route(delayed, outlet);
  }
  scan(outlet);
  return false;
}

void DelayedExchange::route(const Delayed& delayed, Outlet& outlet) {
  DeadLetter letter;
  letter.vhost = vhost_;
  letter.delayed_by = exchange_;
  letter.extra_keys = sender_selected_keys(*delayed.message);
  letter.message = after_delay(delayed.message);
  letter.leaves_store = delayed.stored;
  outlet.dead_letter(std::move(letter));
}

// ---- cancels ----

// What is in memory was looked through when the wish came, and may have gone to the store since.
void DelayedExchange::scan(Outlet& outlet) {
  if (scan_token_ != 0) return;
  if (pass_.empty()) {
    if (next_pass_.empty()) return;
    pass_ = std::exchange(next_pass_, {});
    const FetchRequest request = messages_.begin_scan(0);
    scan_token_ = request.token;
    outlet.fetch(messages_.part(), request);
  }
}

// By a wish that is not done yet, and came after it.
bool DelayedExchange::is_cancelled(const protocol::Message& message, Millis enqueued_ms) const {
  if (pass_.empty() && next_pass_.empty()) return false;
  const std::string_view id = message_id_of(message);
  if (id.empty() || routing::cancels_delayed(message.properties().headers())) return false;
  return pass_.want(id, enqueued_ms) || next_pass_.want(id, enqueued_ms);
}

bool DelayedExchange::scanned(Fetched& page, Outlet& outlet) {
  if (scan_token_ == 0 || page.token != scan_token_) return false;
  for (const persistence::StoredMessage& message : page.messages) {
    if (messages_.waits(message.seq) && is_cancelled(*message.message, message.enqueued_at_ms))
      remove(message.seq, true, *message.message, outlet);
  }
  scan_token_ = 0;
  messages_.scan_ended();
  if (page.next) {
    const FetchRequest request = messages_.begin_scan(*page.next);
    scan_token_ = request.token;
    outlet.fetch(messages_.part(), request);
    return true;
  }
  const CancelWishes done = std::exchange(pass_, {});
  for (const Seq seq : done.stored()) outlet.record(persistence::Settle{messages_.part(), seq});
  scan(outlet);
  return true;
}

}  // namespace harrier::broker
