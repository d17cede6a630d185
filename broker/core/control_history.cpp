// SPDX-License-Identifier: Apache-2.0
//
// The hidden queues where exchanges keep their last messages (C-508), and new bindings of such
// exchanges: what was kept is handed over while every shard begins to route by the binding, and
// only then is the binding written down and answered. So a crash in between leaves none, and
// binding once more hands over once more.
#include <algorithm>
#include <utility>

#include "broker/core/arguments.hpp"
#include "broker/core/control.hpp"
#include "broker/core/definition_records.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/exchange_queues.hpp"
#include "routing/recent_history.hpp"

namespace harrier::broker {

namespace {

bool keeps_history(const routing::Exchange& exchange) {
  return routing::routing_type(exchange) == routing::ExchangeType::RecentHistory;
}

bool same(const routing::Binding& a, const routing::Binding& b) {
  return a.source == b.source && a.to_exchange == b.to_exchange && a.destination == b.destination &&
         a.routing_key == b.routing_key &&
         protocol::canonical_form(a.arguments) == protocol::canonical_form(b.arguments);
}

}  // namespace

void Control::begin_history(Vhost& vhost, const std::string& exchange) {
  const routing::Exchange& keeper = *vhost.registry.find_exchange(exchange);
  if (!keeps_history(keeper)) return;
  protocol::Table arguments;
  arguments.add_int64("x-max-length", routing::parse_history_length(keeper.arguments));
  const QueueId queue = own_queue(vhost, exchange, history_queue_name(exchange), arguments);
  if (vhost.registry.set_history_queue(exchange, queue)) vhost.changed = true;
}

// After a restart the queues are there already, and their exchanges do not know yet.
void Control::find_histories(Vhost& vhost) {
  std::vector<std::string> exchanges;
  vhost.registry.for_each_exchange([&](const routing::Exchange& exchange) {
    if (keeps_history(exchange)) exchanges.push_back(exchange.name);
  });
  for (const std::string& exchange : exchanges) begin_history(vhost, exchange);
}

// ---- bindings ----

void Control::begin_handover(Vhost& vhost, const routing::Binding& binding) {
  HandOver order;
  order.history = vhost.registry.find_exchange(binding.source)->history_queue;
  order.number = ++last_handover_;
  if (binding.to_exchange) {
    order.to_exchange = binding.destination;
  } else {
    order.to_queue = vhost.registry.find_queue(binding.destination)->id;
  }
  handovers_.push_back({order.number, &vhost, binding, {}});
  vhost.handovers.push_back(std::move(order));
}

// The newest: a binding may have gone and come back meanwhile.
Control::Handover* Control::find_handover(const Vhost& vhost, const routing::Binding& binding) {
  const auto at = std::find_if(handovers_.rbegin(), handovers_.rend(), [&](const Handover& each) {
    return each.vhost == &vhost && same(each.binding, binding);
  });
  return at == handovers_.rend() ? nullptr : &*at;
}

// Whoever binds the same meanwhile waits for the same.
bool Control::waits_for_handover(const Vhost& vhost, const Bind& change, const ReplyTo& to) {
  if (handovers_.empty() || change.unbind) return false;
  Handover* const handover = find_handover(vhost, change.binding);
  if (handover == nullptr) return false;
  handover->waiting.push_back(to);
  return true;
}

// It may have ended before, with its exchange; the binding may have gone since, or come again.
void Control::on_handed_over(const HandedOver& done) {
  const auto at = std::ranges::find(handovers_, done.number, &Handover::number);
  if (at == handovers_.end()) return;
  const Handover handover = std::move(*at);
  handovers_.erase(at);
  Vhost& vhost = *handover.vhost;
  if (find_handover(vhost, handover.binding) == nullptr && vhost.registry.has(handover.binding))
    record_binding(vhost, handover.binding);
  for (const ReplyTo& to : handover.waiting) answer_when_seen(to, Done{});
}

}  // namespace harrier::broker
