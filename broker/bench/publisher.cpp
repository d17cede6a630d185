// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/publisher.hpp"

#include <algorithm>
#include <bit>

namespace harrier::bench {
namespace {

// One system call's worth: the socket's buffer takes several, so that other connections get a turn.
constexpr std::size_t kBatchBytes = 64 * 1024;
// Confirms may come out of order, so the span of open tags may exceed the window.
constexpr std::uint32_t kSpanPerWindow = 4;

}  // namespace

Publisher::Publisher(const RunContext& run, std::uint32_t index)
    : run_(run),
      connection_(run.loop, run.endpoint, *this),
      writer_(connection_, run.format),
      index_(index),
      dice_(index + 1),
      properties_(run.workload),
      routing_type_(routing_type(run.workload)),
      bindings_(std::max(run.workload.bindings, run.workload.queues)) {
  const Workload& workload = run.workload;
  const std::uint32_t step = std::min(workload.publishers, workload.queues);
  for (std::uint32_t queue = index % workload.queues; queue < workload.queues; queue += step) {
    queue_names_.push_back(run.names.queue(queue));
    queue_indices_.push_back(queue);
    if (workload.publishers >= workload.queues) break;
  }
  if (workload.rate > 0) {
    interval_ns_ = static_cast<double>(kSecondNs) * workload.publishers / workload.rate;
  }
  if (workload.confirm_window > 0) {
    open_.resize(std::bit_ceil(std::size_t{workload.confirm_window} * kSpanPerWindow));
  }
}

void Publisher::prepare() {
  if (run_.workload.confirm_window == 0) return;
  connection_.request(protocol::ConfirmSelect{});
  connection_.flush();
}

void Publisher::start(std::uint64_t start_ns, std::uint64_t messages) {
  // Publishers with a rate do not all send at the same moment.
  start_ns_ =
      start_ns + static_cast<std::uint64_t>(interval_ns_ * index_ / run_.workload.publishers);
  sent_ = 0;
  left_ = messages;
  pump(start_ns);
}

void Publisher::start_pending(std::uint64_t messages) {
  pending_ = true;
  left_ = messages;
  pump(Loop::now_ns());
}

void Publisher::stop() {
  left_ = 0;
  connection_.want_room(false);
}

std::uint64_t Publisher::due_ns() const {
  return start_ns_ + static_cast<std::uint64_t>(static_cast<double>(sent_) * interval_ns_);
}

bool Publisher::window_open() const {
  // What stands in the queues is underway all the time.
  const std::uint64_t lead_max = run_.workload.lead_max + run_.workload.standing;
  if (lead_max != 0 && run_.ledger.underway() >= lead_max) return false;
  const std::uint32_t window = run_.workload.confirm_window;
  return window == 0 || (unconfirmed_ < window && next_tag_ - oldest_tag_ < open_.size());
}

std::uint64_t Publisher::pump(std::uint64_t now_ns) {
  if (left_ == 0 || !connection_.open()) return kNever;
  if (connection_.output().empty()) {
    while (left_ > 0 && window_open() && due(now_ns) &&
           connection_.output().pending() < kBatchBytes) {
      send_one(now_ns);
    }
    connection_.flush();
  }
  if (!connection_.output().empty()) {  // the socket is full, and will say when it is not
    connection_.want_room(true);
    return kNever;
  }
  const bool waits_for_confirms = left_ == 0 || !window_open();
  connection_.want_room(!waits_for_confirms && due(now_ns));
  return waits_for_confirms || interval_ns_ == 0 ? kNever : due_ns();
}

void Publisher::on_batch_end() { pump(run_.loop.turn_ns()); }
void Publisher::on_room() { pump(Loop::now_ns()); }

Publisher::Route Publisher::pick_route() {
  const Workload& workload = run_.workload;
  if (workload.exchange_type.empty()) {
    turn_ = turn_ + 1 < queue_indices_.size() ? turn_ + 1 : 0;
    return {queue_indices_[turn_], 0};
  }
  const std::uint32_t binding = dice_.below(bindings_);
  return {binding % workload.queues, binding};
}

void Publisher::send_one(std::uint64_t now_ns) {
  const Workload& workload = run_.workload;
  const Route route = pick_route();
  protocol::BasicPublish method;
  if (workload.exchange_type.empty()) {
    method.routing_key = queue_names_[turn_];
  } else {
    method.exchange = run_.names.exchange();
    routing_key(routing_type_, route.binding, dice_.below(workload.key_variety), key_);
    method.routing_key = key_;
  }
  const std::uint64_t was_due_ns = interval_ns_ == 0 ? now_ns : due_ns();
  const std::uint64_t sent_ns = workload.latency_from_sending ? now_ns : was_due_ns;
  BodyHeader header;
  header.stream = run_.ledger.stream(index_, route.queue);
  // Nobody is ever sent the last number: if this one comes, it is misrouted.
  header.sequence = pending_ ? kSequenceMask : run_.ledger.next_sequence(header.stream);
  header.ticks = to_ticks(sent_ns);
  const std::uint32_t size =
      workload.sizes.constant() ? workload.sizes.max() : workload.sizes.pick(dice_.roll());
  writer_.put(method, pending_ ? properties_.pending() : properties_.of(header, route.binding),
              header, size);
  --left_;
  if (workload.confirm_window != 0) remember(sent_ns);
  Meter& meter = run_.meter;
  if (pending_) {
    ++meter.pending;
    pending_ = left_ != 0;
    return;
  }
  ++sent_;
  ++meter.published;
  meter.published_bytes += size;
  meter.last_published_ns = now_ns;
  if (interval_ns_ != 0 && meter.measures(was_due_ns)) meter.lag_ns.record(now_ns - was_due_ns);
}

void Publisher::remember(std::uint64_t sent_ns) {
  open_[next_tag_++ & (open_.size() - 1)] = sent_ns;
  ++unconfirmed_;
}

bool Publisher::settle(std::uint64_t tag, bool ack) {
  std::uint64_t& slot = open_[tag & (open_.size() - 1)];
  if (slot == 0) return false;
  Meter& meter = run_.meter;
  const std::uint64_t now = run_.loop.turn_ns();
  if (ack) {
    ++meter.confirmed;
    meter.last_confirmed_ns = now;
    if (meter.measures(slot)) meter.confirm_ns.record(now - std::min(slot, now));
  } else {
    Violations& violations = run_.ledger.violations();
    violations.note(violations.refused, 1,
                    "publisher " + std::to_string(index_) + ": message with tag " +
                        std::to_string(tag) + " was refused (basic.nack)");
  }
  slot = 0;
  --unconfirmed_;
  return true;
}

void Publisher::on_confirm(std::uint64_t tag, bool multiple, bool ack) {
  if (multiple && tag == 0) tag = next_tag_ - 1;
  bool any = false;
  if (tag >= oldest_tag_ && tag < next_tag_) {
    for (std::uint64_t each = multiple ? oldest_tag_ : tag; each <= tag; ++each) {
      any = settle(each, ack) || any;
    }
  }
  if (!any) {
    Violations& violations = run_.ledger.violations();
    violations.note(violations.bad_confirms, 1,
                    "publisher " + std::to_string(index_) + ": a confirm for tag " +
                        std::to_string(tag) + ", which was not waited for");
  }
  while (oldest_tag_ < next_tag_ && open_[oldest_tag_ & (open_.size() - 1)] == 0) ++oldest_tag_;
}

void Publisher::on_return(const protocol::BasicReturn& returned) {
  Violations& violations = run_.ledger.violations();
  violations.note(violations.refused, 1,
                  "publisher " + std::to_string(index_) +
                      ": a message was returned: " + std::string(returned.reply_text));
}

}  // namespace harrier::bench
