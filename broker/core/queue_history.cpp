// SPDX-License-Identifier: Apache-2.0
//
// A queue that is an exchange's history.
#include <algorithm>
#include <utility>

#include "broker/core/queue.hpp"

namespace harrier::broker {

void Queue::begin_handover(const HandOver& order, const RecentHistory::Mark& mark, Outlet& outlet) {
  // Those in the store are dropped when they have been read, which may be later.
  history_->begin(order, mark, next_seq_, limit_->excess(ready_count()));
  serve_history(outlet);
}

void Queue::copies_sent(std::uint32_t handover, std::size_t copies, Outlet& outlet) {
  history_->sent(handover, copies, outlet);
  wake_for_history(outlet);
}

void Queue::copy_settled(std::uint32_t handover, Outlet& outlet) {
  history_->settled(handover, outlet);
  wake_for_history(outlet);
}

void Queue::serve_history(Outlet& outlet) {
  if (history_->serve(next_seq_, outlet)) residents_->wait(id_, is_waiting_);
  wake_for_history(outlet);
}

void Queue::wake_for_history(Outlet& outlet) {
  if (!history_->wants_turn()) return;
  const Millis now = outlet.unix_ms();
  if (now < alarm_ms_) outlet.wake_at(id_, std::exchange(alarm_ms_, now), now);
}

}  // namespace harrier::broker
