// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/workload.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "broker/bench/body.hpp"

namespace harrier::bench {
namespace {

constexpr std::uint32_t kSizeMax = 512u << 20;
constexpr const char* kDelayedExchange = "x-delayed-message";

bool read_number(std::string_view text, std::uint32_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

// min [ "-" max ] [ ":" weight ]
bool read_part(std::string_view text, Sizes::Part& out) {
  if (const auto colon = text.find(':'); colon != text.npos) {
    if (!read_number(text.substr(colon + 1), out.weight) || out.weight == 0) return false;
    text = text.substr(0, colon);
  }
  const auto dash = text.find('-');
  if (!read_number(text.substr(0, dash), out.min)) return false;
  out.max = out.min;
  return (dash == text.npos || read_number(text.substr(dash + 1), out.max)) && out.min <= out.max;
}

std::string counted(std::uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string check_flow(const Workload& workload) {
  if (workload.consume_rate != 0 && (workload.ack_every == 0 || workload.prefetch == 0)) {
    return "a slow consumer is one that acknowledges late: it needs acknowledgements and a "
           "prefetch";
  }
  if (workload.reject && (workload.ack_every == 0 || workload.exchange_type == "fanout")) {
    return "rejecting needs acknowledgements, and no fan-out";
  }
  if (workload.reject && (workload.backlog || workload.consume_rate != 0)) {
    return "rejecting goes with neither a backlog nor a limited rate";
  }
  if (workload.standing != 0 &&
      (workload.lead_max == 0 || workload.backlog || workload.messages != 0)) {
    return "a standing backlog is held by a limited lead, for a time";
  }
  if (workload.standing != 0 && (workload.ack_every == 0 || workload.prefetch == 0)) {
    return "a standing backlog is held by acknowledgements and a prefetch";
  }
  if (workload.pending != 0 && workload.exchange_type != kDelayedExchange) {
    return "only an exchange of type x-delayed-message keeps messages";
  }
  return "";
}

std::string check_load(const Workload& workload) {
  if (workload.publishers == 0 || workload.queues == 0) return "no publisher or no queue";
  if (std::uint64_t{workload.publishers} * workload.queues > kStreamsMax) {
    return "too many publishers times queues: at most 2^24";
  }
  if (workload.sizes.min() < kBodyHeaderSize) return "the smallest body is of 16 bytes";
  if (workload.sizes.max() > kSizeMax) return "the largest body is of 512 MiB";
  const std::string type = routing_type(workload);
  if (type.empty() && workload.bindings != 0) return "the default exchange has no bindings";
  if (type.empty() != workload.exchange_type.empty() ||
      (!type.empty() && type != "direct" && type != "fanout" && type != "topic" &&
       type != "headers")) {
    return "the exchange type is direct, fanout, topic or headers, or x-delayed-message with one "
           "of them as its argument x-delayed-type";
  }
  if (workload.bindings != 0 && workload.bindings < workload.queues) {
    return "fewer bindings than queues";
  }
  if (workload.key_variety == 0) return "a key variety of 0";
  if (workload.prefetch != 0 && workload.ack_every > workload.prefetch) {
    return "acknowledging less often than the prefetch allows would wait forever";
  }
  if (workload.lead_max != 0 && (workload.backlog || workload.consumers == 0)) {
    return "a limited lead needs consumers from the start";
  }
  if (const std::string wrong = check(workload.message); !wrong.empty()) return wrong;
  if (const std::string wrong = check_flow(workload); !wrong.empty()) return wrong;
  if (workload.backlog && workload.messages == 0) return "a backlog needs a number of messages";
  if (workload.backlog && workload.consumers == 0) return "a backlog needs consumers to drain it";
  return "";
}

}  // namespace

std::string Sizes::parse(std::string_view text, Sizes& out) {
  out.parts_.clear();
  std::uint64_t weights = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    Part part;
    if (!read_part(text.substr(at, end - at), part)) {
      return "\"" + std::string(text.substr(at, end - at)) +
             "\" is no size; write 16, 100-2000 or 16:90,4096:10";
    }
    weights += part.weight;
    out.parts_.push_back(part);
    at = end + 1;
  }
  if (weights > std::numeric_limits<std::uint32_t>::max()) return "the weights are too large";
  return "";
}

std::uint32_t Sizes::pick(std::uint64_t random) const {
  std::uint64_t weights = 0;
  for (const Part& part : parts_) weights += part.weight;
  std::uint64_t choice = random % weights;
  for (const Part& part : parts_) {
    if (choice < part.weight) {
      const std::uint64_t span = std::uint64_t{part.max} - part.min + 1;
      return part.min + static_cast<std::uint32_t>((random >> 32) % span);
    }
    choice -= part.weight;
  }
  return parts_.back().max;
}

std::uint32_t Sizes::max() const {
  std::uint32_t most = 0;
  for (const Part& part : parts_) most = std::max(most, part.max);
  return most;
}

std::uint32_t Sizes::min() const {
  std::uint32_t least = parts_.front().min;
  for (const Part& part : parts_) least = std::min(least, part.min);
  return least;
}

std::string Sizes::text() const {
  std::string text;
  for (const Part& part : parts_) {
    if (!text.empty()) text += ',';
    text += std::to_string(part.min);
    if (part.max != part.min) text += "-" + std::to_string(part.max);
    if (parts_.size() > 1) text += ":" + std::to_string(part.weight);
  }
  return text;
}

std::string routing_type(const Workload& workload) {
  if (workload.exchange_type != kDelayedExchange) return workload.exchange_type;
  const auto type = workload.exchange_arguments.view().find("x-delayed-type");
  return std::string(type ? type->as_text().value_or("") : "");
}

std::string check(const Workload& workload) {
  if (workload.duration_s <= 0 || workload.warmup_s < 0 || workload.rate < 0 ||
      workload.stall_s <= 0 || workload.spin_us < 0 || workload.consume_rate < 0) {
    return "a time or rate below zero, or no time at all";
  }
  switch (workload.mode) {
    case Mode::Load:
      return check_load(workload);
    case Mode::Rpc:
      if (workload.in_flight == 0) return "no request in flight";
      return workload.sizes.constant() && workload.sizes.min() >= kBodyHeaderSize
                 ? ""
                 : "requests have one size, of 16 bytes or more";
    case Mode::Idle:
    case Mode::Declare:
    case Mode::Churn:
      return workload.count == 0 || workload.parallel == 0 ? "none to make" : "";
  }
  return "";
}

std::string describe(const Workload& workload) {
  if (!workload.title.empty()) return workload.title;
  switch (workload.mode) {
    case Mode::Rpc:
      return "round trips, " + std::to_string(workload.in_flight) + " in flight, " +
             (workload.direct_reply ? "direct reply-to" : "reply queue");
    case Mode::Idle:
      return counted(workload.count, "connection") + " with a channel";
    case Mode::Declare:
      return counted(workload.count, "queue") +
             (workload.pipelined ? ", pipelined" : ", one by one");
    case Mode::Churn:
      return counted(workload.count, "connection") + ", opened and closed";
    case Mode::Load:
      break;
  }
  std::string text = counted(workload.publishers, "publisher") + ", " +
                     counted(workload.consumers, "consumer") + ", " +
                     counted(workload.queues, "queue") + ", " + workload.sizes.text() + " B";
  text += workload.persistent ? ", persistent" : ", transient";
  if (!workload.exchange_type.empty()) {
    text += ", " + workload.exchange_type + " exchange";
    if (workload.bindings != 0) text += " with " + counted(workload.bindings, "binding");
  }
  if (workload.confirm_window != 0) {
    text += ", confirms with a window of " + std::to_string(workload.confirm_window);
  }
  if (workload.lead_max != 0) text += ", lead of " + std::to_string(workload.lead_max);
  text +=
      workload.ack_every == 0 ? ", auto-ack" : ", ack per " + std::to_string(workload.ack_every);
  if (workload.reject) text += ", rejected into dead letter queues";
  if (workload.standing != 0) text += ", standing backlog of " + std::to_string(workload.standing);
  if (workload.pending != 0) text += ", " + std::to_string(workload.pending) + " delayed";
  if (!workload.queue_arguments.empty()) {
    text += ", queue arguments " + to_text(workload.queue_arguments.view());
  }
  return text + describe(workload.message);
}

}  // namespace harrier::bench
