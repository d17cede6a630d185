// SPDX-License-Identifier: Apache-2.0
//
// What a channel has for the firehose, while tracing is on (conformance 8.16).
#include "broker/core/channel_impl.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/exchange_queues.hpp"
#include "broker/core/firehose.hpp"

namespace harrier::broker {

bool Channel::is_traced(const MessagePtr& message) {
  return session_.vhost().profile->tracing && message->exchange() != kTraceExchange;
}

void Channel::trace_published(const protocol::Publish& publish) {
  std::vector<std::string> queues;
  for (const QueueId id : routed_) {
    const routing::QueueEntry* queue = session_.vhost().topology->find_queue(id);
    if (queue != nullptr && !is_history_queue(queue->name)) queues.push_back(queue->name);
  }
  const std::string connection = session_.name();
  send_trace(trace_publish(*publish.message, publish.extra_keys, queues,
                           {engine().options().cluster_name, session_.vhost().name, connection,
                            session_.user().name, number()}));
}

void Channel::trace_delivered(QueueId id, bool redelivered, const MessagePtr& message) {
  const routing::QueueEntry* queue = session_.vhost().topology->find_queue(id);
  const std::string connection = session_.name();
  send_trace(trace_deliver(*message, queue == nullptr ? "" : queue->name, redelivered,
                           {engine().options().cluster_name, session_.vhost().name, connection,
                            session_.user().name, number()}));
}

// Not at once: what is traced may be on its way out of a queue that gets the copy, too.
void Channel::send_trace(const MessagePtr& copy) {
  const VhostView& vhost = session_.vhost();
  const routing::Exchange* const exchange = vhost.topology->find_exchange(kTraceExchange);
  if (exchange == nullptr) return;
  std::vector<QueueId> queues;
  engine().router().route(*vhost.topology, routing::request_for(*exchange, *copy), queues);
  for (const QueueId queue : queues) engine().defer(Publish{queue, copy, ref_, 0});
}

}  // namespace harrier::broker
