// SPDX-License-Identifier: Apache-2.0
//
// The queues that belong to exchanges: where one delays messages, and where one keeps its last
// ones. They are hidden: the control shard makes each with its exchange and deletes it with it, and
// nobody gets there by its name. Pure functions of the name, which says what the queue is.
#pragma once

#include <string>
#include <string_view>

namespace harrier::broker {

// The queue's name is the exchange's with this in front.
inline constexpr std::string_view kDelayedQueuePrefix = "amq.delayed.";
inline constexpr std::string_view kHistoryQueuePrefix = "amq.history.";

inline std::string delayed_queue_name(std::string_view exchange) {
  return std::string(kDelayedQueuePrefix).append(exchange);
}
inline std::string history_queue_name(std::string_view exchange) {
  return std::string(kHistoryQueuePrefix).append(exchange);
}
// The exchange of such a queue.
inline std::string_view exchange_of_history(std::string_view queue) {
  return queue.substr(kHistoryQueuePrefix.size());
}
inline bool is_delayed_queue(std::string_view name) {
  return name.starts_with(kDelayedQueuePrefix);
}
inline bool is_history_queue(std::string_view name) {
  return name.starts_with(kHistoryQueuePrefix);
}
inline bool is_hidden_queue(std::string_view name) {
  return is_delayed_queue(name) || is_history_queue(name);
}

}  // namespace harrier::broker
