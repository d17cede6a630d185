// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/consumer.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace harrier::bench {

Consumer::Consumer(const RunContext& run, std::uint32_t index)
    : run_(run), connection_(run.loop, run.endpoint, *this), check_(run.format) {
  const Workload& workload = run.workload;
  const std::uint32_t step = std::min(workload.consumers, workload.queues);
  for (std::uint32_t queue = index % workload.queues; queue < workload.queues; queue += step) {
    views_.push_back(run.ledger.view(queue));
    if (workload.consumers >= workload.queues) break;
  }
}

void Consumer::prepare() {
  const Workload& workload = run_.workload;
  if (workload.prefetch != 0) {
    protocol::BasicQos qos;
    qos.prefetch_count = workload.prefetch;
    connection_.request(qos);
  }
  for (std::size_t i = 0; i < views_.size(); ++i) {
    const std::string queue = run_.names.queue(views_[i].queue);
    const std::string tag = std::to_string(i);  // deliveries bring it back
    protocol::BasicConsume consume;
    consume.queue = queue;
    consume.consumer_tag = tag;
    consume.no_ack = workload.ack_every == 0;
    connection_.request(consume);
  }
  connection_.flush();
}

void Consumer::acknowledge_all() {
  if (unacknowledged_ == 0) return;
  protocol::BasicAck ack;
  ack.delivery_tag = tag_;
  ack.multiple = true;
  connection_.put(ack);
  unacknowledged_ = 0;
}

void Consumer::on_deliver(const protocol::BasicDeliver& deliver) {
  const char* const end = deliver.consumer_tag.data() + deliver.consumer_tag.size();
  const auto read = std::from_chars(deliver.consumer_tag.data(), end, view_);
  if (read.ec != std::errc{} || read.ptr != end || view_ >= views_.size()) {
    throw BenchError("a delivery for consumer tag \"" + std::string(deliver.consumer_tag) +
                     "\", which does not exist");
  }
  if (deliver.delivery_tag != tag_ + 1) {
    Violations& violations = run_.ledger.violations();
    violations.note(violations.bad_tags, 1,
                    "delivery tag " + std::to_string(deliver.delivery_tag) + " came after " +
                        std::to_string(tag_));
  }
  tag_ = deliver.delivery_tag;
  redelivered_ = deliver.redelivered;
}

void Consumer::on_header(std::uint64_t body_size, protocol::ByteView) {
  body_size_ = body_size;
  check_.begin(body_size);
}

void Consumer::on_delivered() {
  Meter& meter = run_.meter;
  BodyHeader header;
  if (check_.finish(header)) {
    const std::uint64_t now = run_.loop.turn_ns();
    const std::uint64_t elapsed = elapsed_ns(header.ticks, now);
    if (meter.measures(now - elapsed)) meter.delivery_ns.record(elapsed);
    run_.ledger.received(views_[view_], header, redelivered_);
    ++meter.delivered;
    meter.delivered_bytes += body_size_;
    meter.last_delivered_ns = now;
  } else {
    run_.ledger.damaged(views_[view_]);
  }
  const std::uint32_t every = run_.workload.ack_every;
  if (every != 0 && ++unacknowledged_ >= every) acknowledge_all();
}

}  // namespace harrier::bench
