// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/result.hpp"

#include <algorithm>
#include <array>
#include <iomanip>

#include <nlohmann/json.hpp>

#include "broker/bench/statistics.hpp"
#include "broker/version.hpp"

namespace harrier::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kNameColumns = 34;
constexpr int kFigureColumns = 16;

struct Percentile {
  double percent;
  const char* name;
};
constexpr std::array<Percentile, 6> kPercentiles = {
    {{50, "p50"}, {90, "p90"}, {99, "p99"}, {99.9, "p99.9"}, {99.99, "p99.99"}, {100, "max"}}};

double microseconds(double ns) { return ns / 1000; }

std::string name_of(Mode mode) {
  constexpr std::array<const char*, 5> kNames = {"load", "rpc", "idle", "declare", "churn"};
  return kNames.at(static_cast<std::size_t>(mode));
}

Json json_of(const MessageOptions& options) {
  return {{"priorities", options.priorities}, {"group_header", options.group_header},
          {"groups", options.groups},         {"expiration", options.expiration},
          {"message_id", options.message_id}, {"headers", to_text(options.headers.view())}};
}

Json json_of(const Workload& workload) {
  Json json = {{"mode", name_of(workload.mode)}, {"description", describe(workload)}};
  switch (workload.mode) {
    case Mode::Load:
      json.update({{"publishers", workload.publishers},
                   {"consumers", workload.consumers},
                   {"queues", workload.queues},
                   {"exchange_type", workload.exchange_type},
                   {"bindings", workload.bindings},
                   {"queue_type", workload.queue_type},
                   {"durable", workload.durable},
                   {"persistent", workload.persistent},
                   {"size", workload.sizes.text()},
                   {"confirm_window", workload.confirm_window},
                   {"prefetch", workload.prefetch},
                   {"ack_every", workload.ack_every},
                   {"lead_max", workload.lead_max},
                   {"rate", workload.rate},
                   {"messages", workload.messages},
                   {"warmup_s", workload.warmup_s},
                   {"duration_s", workload.duration_s},
                   {"backlog", workload.backlog},
                   {"standing", workload.standing},
                   {"pending", workload.pending},
                   {"consume_rate", workload.consume_rate},
                   {"reject", workload.reject},
                   {"latency_from_sending", workload.latency_from_sending},
                   {"queue_arguments", to_text(workload.queue_arguments.view())},
                   {"exchange_arguments", to_text(workload.exchange_arguments.view())},
                   {"consumer_arguments", to_text(workload.consumer_arguments.view())},
                   {"message", json_of(workload.message)}});
      break;
    case Mode::Rpc:
      json.update({{"in_flight", workload.in_flight},
                   {"direct_reply", workload.direct_reply},
                   {"size", workload.sizes.text()}});
      break;
    case Mode::Idle:
    case Mode::Declare:
    case Mode::Churn:
      json.update({{"count", workload.count},
                   {"parallel", workload.parallel},
                   {"pipelined", workload.pipelined}});
      break;
  }
  return json;
}

Json json_of(const Violations& violations) {
  return {{"total", violations.total()},         {"lost", violations.lost},
          {"duplicates", violations.duplicates}, {"reordered", violations.reordered},
          {"damaged", violations.damaged},       {"misrouted", violations.misrouted},
          {"refused", violations.refused},       {"bad_confirms", violations.bad_confirms},
          {"bad_tags", violations.bad_tags},     {"texts", violations.texts}};
}

Json json_of(const Result& result) {
  Json figures = Json::object();
  for (const auto& [name, value] : result.figures.all()) figures[name] = value;
  return {{"tool", "harrier bench " + std::string(broker::kVersion)},
          {"case", result.workload.id},
          {"address", result.address},
          {"product", result.product},
          {"names", result.names},
          {"workload", json_of(result.workload)},
          {"figures", figures},
          {"violations", json_of(result.violations)},
          {"ok", result.ok()},
          {"error", result.error}};
}

std::string dumped(const Json& json) {
  // The broker's words may be any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::optional<double> Figures::find(std::string_view name) const {
  const auto at =
      std::find_if(all_.begin(), all_.end(), [&](const auto& each) { return each.first == name; });
  return at == all_.end() ? std::nullopt : std::optional<double>(at->second);
}

void add_latency(const std::string& name, const Histogram& histogram_ns, Figures& out) {
  if (histogram_ns.count() == 0) return;
  for (const auto& [percent, label] : kPercentiles) {
    out.set(name + "_" + label + "_us",
            microseconds(static_cast<double>(histogram_ns.percentile(percent))));
  }
  out.set(name + "_mean_us", microseconds(histogram_ns.mean()));
  out.set(name + "_count", static_cast<double>(histogram_ns.count()));
}

bool lower_is_better(std::string_view figure) {
  const auto ends_with = [&](std::string_view end) {
    return figure.size() >= end.size() && figure.substr(figure.size() - end.size()) == end;
  };
  if (ends_with("_per_s")) return false;
  return ends_with("_us") || ends_with("_s") || figure.find("bytes") != figure.npos ||
         figure.find("cpu_s") != figure.npos;
}

void print_summary(const Result& result, std::ostream& out) {
  out << result.workload.id << ": " << describe(result.workload) << '\n'
      << "  " << result.product << " at " << result.address << '\n';
  for (const auto& [name, value] : result.figures.all()) {
    out << "  " << std::left << std::setw(kNameColumns) << name << std::right
        << std::setw(kFigureColumns) << format_figure(value) << '\n';
  }
  const Violations& violations = result.violations;
  if (violations.total() != 0) {
    out << "  VIOLATED: " << violations.lost << " lost, " << violations.duplicates
        << " duplicates, " << violations.reordered << " out of order, " << violations.damaged
        << " damaged, " << violations.misrouted << " misrouted, " << violations.refused
        << " refused, " << violations.bad_confirms << " bad confirms, " << violations.bad_tags
        << " bad delivery tags\n";
  }
  for (const std::string& text : violations.texts) out << "    " << text << '\n';
  if (!result.error.empty()) out << "  FAILED: " << result.error << '\n';
  if (result.ok()) out << "  verified: nothing lost, doubled, damaged or out of order\n";
}

std::string to_json(const Result& result) { return dumped(json_of(result)); }

std::string to_json(const std::vector<Result>& results) {
  Json all = Json::array();
  for (const Result& result : results) all.push_back(json_of(result));
  return dumped(all);
}

}  // namespace harrier::bench
