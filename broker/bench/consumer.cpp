// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/consumer.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace harrier::bench {

Consumer::Consumer(const RunContext& run, std::uint32_t index, Role role)
    : run_(run),
      role_(role),
      connection_(run.loop, run.endpoint, *this),
      check_(run.format),
      rate_(run.workload.consume_rate / run.workload.consumers) {
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
    const std::string queue = role_ == Role::ReceivesDeadLetters
                                  ? run_.names.dead_letters(views_[i].queue)
                                  : run_.names.queue(views_[i].queue);
    const std::string tag = std::to_string(i);  // deliveries bring it back
    protocol::BasicConsume consume;
    consume.queue = queue;
    consume.consumer_tag = tag;
    consume.no_ack = workload.ack_every == 0;
    consume.arguments = workload.consumer_arguments;
    connection_.request(consume);
  }
  connection_.flush();
}

void Consumer::acknowledge(std::uint64_t up_to) {
  if (role_ == Role::Rejects) {
    protocol::BasicNack nack;
    nack.delivery_tag = up_to;
    nack.multiple = true;
    nack.requeue = false;
    connection_.put(nack);
  } else {
    protocol::BasicAck ack;
    ack.delivery_tag = up_to;
    ack.multiple = true;
    connection_.put(ack);
  }
  acknowledged_ = up_to;
}

void Consumer::acknowledge_all() {
  if (run_.workload.ack_every != 0 && tag_ > acknowledged_) acknowledge(tag_);
}

std::uint64_t Consumer::pump(std::uint64_t now_ns) {
  const std::uint64_t every = run_.workload.ack_every;
  if (every == 0 || tag_ < acknowledged_ + every || keeps_backlog()) return kNever;
  if (rate_ == 0) {
    acknowledge_now();
    return kNever;
  }
  if (limited_since_ns_ == 0) limited_since_ns_ = now_ns;
  const auto due = static_cast<std::uint64_t>(static_cast<double>(now_ns - limited_since_ns_) /
                                              static_cast<double>(kSecondNs) * rate_);
  const std::uint64_t up_to = std::min(tag_, due) / every * every;
  if (up_to > acknowledged_) {
    acknowledge(up_to);
    connection_.flush();
  }
  if (tag_ < acknowledged_ + every) return kNever;
  return limited_since_ns_ +
         static_cast<std::uint64_t>(static_cast<double>(acknowledged_ + every) / rate_ *
                                    static_cast<double>(kSecondNs)) +
         1;
}

void Consumer::acknowledge_now() {
  acknowledge_all();
  connection_.flush();
}

void Consumer::lift_limit() {
  limited_ = false;
  rate_ = 0;
  acknowledge_now();
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

void Consumer::check_delivery() {
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
}

void Consumer::on_delivered() {
  if (role_ == Role::Rejects) {
    ++run_.meter.rejected;
  } else {
    check_delivery();
  }
  const std::uint32_t every = run_.workload.ack_every;
  if (every != 0 && free_to_acknowledge() && tag_ - acknowledged_ >= every) acknowledge(tag_);
}

void Consumer::on_batch_end() {
  // What is not rejected would never arrive.
  if (role_ == Role::Rejects) acknowledge_all();
}

}  // namespace harrier::bench
