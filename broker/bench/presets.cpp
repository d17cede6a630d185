// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "broker/bench/workload.hpp"

namespace harrier::bench {
namespace {

constexpr std::uint32_t kKiB = 1024, kMiB = 1024 * 1024;

using Figures = std::vector<std::string>;
const Figures kThroughput = {"published_per_s", "delivered_per_s"};
const Figures kConfirmed = {"published_per_s", "confirm_p50_us", "confirm_p99_us"};
const Figures kDelivery = {"delivery_p50_us", "delivery_p99_us", "delivery_p99.9_us"};
const Figures kConfirm = {"confirm_p50_us", "confirm_p99_us", "confirm_p99.9_us"};
const Figures kRpc = {"round_trips_per_s", "rpc_p50_us", "rpc_p99_us"};

Workload transient(std::string id, std::string title, std::uint32_t size) {
  Workload workload;
  workload.id = std::move(id);
  workload.title = std::move(title);
  workload.sizes = Sizes(size);
  workload.headline = kThroughput;
  return workload;
}

Workload persistent(std::string id, std::string title, std::uint32_t size, std::uint32_t window) {
  Workload workload = transient(std::move(id), std::move(title), size);
  workload.durable = workload.persistent = true;
  workload.confirm_window = window;
  workload.prefetch = 1000;
  workload.ack_every = 100;
  workload.headline = kConfirmed;
  return workload;
}

void add_throughput(std::vector<Workload>& out) {
  out.push_back(transient("a16", "transient 16 B, auto-ack, 1 publisher, 1 consumer", 16));
  Workload pairs = transient("a16x4", "a16 with 4 pairs on 4 queues", 16);
  pairs.publishers = pairs.consumers = pairs.queues = 4;
  out.push_back(pairs);
  out.push_back(transient("b1k", "a16 with 1 KiB", kKiB));

  const std::string note = ", window 1,000, prefetch 1,000, ack per 100";
  out.push_back(persistent("c16", "persistent 16 B" + note, 16, 1000));
  out.push_back(persistent("c1k", "persistent 1 KiB" + note, kKiB, 1000));
  Workload eight = persistent("c1kx8", "c1k with 8 pairs on 8 queues", kKiB, 1000);
  eight.publishers = eight.consumers = eight.queues = 8;
  out.push_back(eight);
  out.push_back(persistent("c1w1", "persistent 1 KiB, window 1", kKiB, 1));
  Workload many = persistent("c1w1x16", "persistent 1 KiB, window 1, 16 publishers", kKiB, 1);
  many.publishers = 16;
  out.push_back(many);

  Workload backlog =
      persistent("d1k", "persistent 1 KiB with no consumer, then drained", kKiB, 1000);
  backlog.backlog = true;
  backlog.messages = 300'000;
  backlog.headline = {"published_per_s", "delivered_per_s", "backlog_rss_bytes"};
  out.push_back(backlog);
}

void add_routing(std::vector<Workload>& out) {
  Workload fanout = transient("e128", "fan-out to 10 queues, 128 B, auto-ack", 128);
  fanout.exchange_type = "fanout";
  fanout.queues = fanout.consumers = 10;
  out.push_back(fanout);

  Workload topic = transient("f1k", "topic, 1,000 wildcard bindings, 128 B, auto-ack", 128);
  topic.exchange_type = "topic";
  topic.bindings = 1000;
  topic.headline = {"published_per_s", "delivered_per_s", "binds_per_s"};
  out.push_back(topic);
  topic.id = "f100k";
  topic.title = "topic, 100,000 wildcard bindings, 128 B, auto-ack";
  topic.bindings = 100'000;
  out.push_back(topic);
}

void add_large(std::vector<Workload>& out) {
  // Transient ones are confirmed too: the window is what keeps a queue of large bodies short.
  const auto add = [&](const char* id, const char* title, std::uint32_t size, bool persist,
                       std::uint32_t window) {
    Workload workload = persistent(id, title, size, window);
    workload.durable = workload.persistent = persist;
    workload.prefetch = 100;
    workload.ack_every = 10;
    out.push_back(workload);
  };
  add("g10k", "transient 10 KiB, window 100", 10 * kKiB, false, 100);
  add("g10kp", "persistent 10 KiB, window 100", 10 * kKiB, true, 100);
  add("g1m", "transient 1 MiB, window 16", kMiB, false, 16);
  add("g1mp", "persistent 1 MiB, window 16", kMiB, true, 16);
}

void add_latency(std::vector<Workload>& out) {
  for (const std::uint32_t rate : {5'000u, 20'000u}) {
    const std::string thousands = std::to_string(rate / 1000);
    Workload workload =
        transient("h" + thousands + "t", thousands + ",000/s transient 1 KiB, to consume", kKiB);
    workload.rate = rate;
    workload.headline = kDelivery;
    out.push_back(workload);
    workload = persistent("h" + thousands + "p", thousands + ",000/s persistent 1 KiB, to confirm",
                          kKiB, 100'000);
    workload.rate = rate;
    workload.headline = kConfirm;
    out.push_back(workload);
  }
  for (const std::uint32_t in_flight : {1u, 16u}) {
    for (const bool direct : {false, true}) {
      Workload workload;
      workload.mode = Mode::Rpc;
      workload.id = "i" + std::to_string(in_flight) + (direct ? "d" : "");
      workload.sizes = Sizes(16);
      workload.in_flight = in_flight;
      workload.direct_reply = direct;
      workload.headline = kRpc;
      out.push_back(workload);
    }
  }
}

void add_footprint(std::vector<Workload>& out) {
  Workload idle;
  idle.mode = Mode::Idle;
  idle.id = "idle1k";
  idle.count = 1000;
  idle.duration_s = 1;
  idle.headline = {"opened_per_s", "bytes_per_connection"};
  out.push_back(idle);
  idle.id = "idle10k";
  idle.count = 10'000;
  out.push_back(idle);
  Workload churn;
  churn.mode = Mode::Churn;
  churn.id = "churn";
  churn.count = 2000;
  churn.headline = {"cycles_per_s"};
  out.push_back(churn);
  Workload declare;
  declare.mode = Mode::Declare;
  declare.durable = true;
  declare.count = 10'000;
  declare.headline = {"declared_per_s", "bytes_per_queue"};
  declare.id = "q10k";
  out.push_back(declare);
  declare.id = "q10kp";
  declare.pipelined = true;
  out.push_back(declare);
}

}  // namespace

const std::vector<Workload>& presets() {
  static const std::vector<Workload> all = [] {
    std::vector<Workload> out;
    add_throughput(out);
    add_routing(out);
    add_large(out);
    add_latency(out);
    add_footprint(out);
    return out;
  }();
  return all;
}

const Workload* find_preset(std::string_view id) {
  const auto& all = presets();
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const Workload& each) { return each.id == id; });
  return at == all.end() ? nullptr : &*at;
}

}  // namespace harrier::bench
