// SPDX-License-Identifier: Apache-2.0
//
// Routing figures: publishes routed per second at 1e3, 1e5 and 1e6 topic bindings ('*', '#',
// mixed, in turns), through the route cache and past it; bindings made and removed per second, with
// one snapshot at the end and with one after each; bytes per binding beyond the text of its key.
// Not a test.
//
//   routing_bench [--json] [--bindings-max N] [--seconds S] [--shape NAME]
#include <malloc.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "routing/registry.hpp"
#include "routing/router.hpp"
#include "routing/topology.hpp"

namespace {

using namespace harrier::routing;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kQueues = 1000;
constexpr std::uint64_t kSites = 500;
constexpr std::size_t kHotKeys = 256;       // fit the route cache
constexpr std::size_t kColdKeys = 200'000;  // no luck with the processor's caches either

struct Options {
  bool json = false;
  std::uint64_t bindings_max = 1'000'000;
  double seconds = 0.5;    // per measurement
  std::string_view shape;  // only this one
};

struct Shape {
  std::string_view name;
  std::string (*binding_key)(std::uint64_t i);
  std::string (*routing_key)(std::uint64_t i, std::uint64_t other);
};

std::string number(std::uint64_t i) { return std::to_string(i); }

// Every routing key is site.<s>.<reading>.<device>; binding i is for device i.
std::string star_key(std::uint64_t i) {
  return "site." + number(i % kSites) + ".*.device" + number(i);
}
std::string hash_key(std::uint64_t i) {
  return "site." + number(i % kSites) + ".#.device" + number(i);
}
std::string mixed_key(std::uint64_t i) {
  switch (i % 5) {
    case 0:
      return "site." + number(i % kSites) + ".temperature.device" + number(i);
    case 1:
      return star_key(i);
    case 2:
      return hash_key(i);
    case 3:
      return "#.device" + number(i);
    default:
      return "*." + number(i % kSites) + ".*.device" + number(i);
  }
}
std::string routing_key(std::uint64_t i, std::uint64_t) {
  return "site." + number(i % kSites) + ".temperature.device" + number(i);
}

// As `harrier bench case f100k` has them: a third of the patterns each under the root, a '*' and a
// '#', all apart in their first literal word.
std::string turns_key(std::uint64_t i) {
  if (i % 3 == 0) return "a" + number(i) + ".*.x";
  if (i % 3 == 1) return "*.b" + number(i) + ".y";
  return "#.c" + number(i);
}
std::string turns_routing_key(std::uint64_t i, std::uint64_t other) {
  const std::string any = "r" + number(other % 16);
  if (i % 3 == 0) return "a" + number(i) + "." + any + ".x";
  if (i % 3 == 1) return any + ".b" + number(i) + ".y";
  return any + ".z.c" + number(i);
}

constexpr Shape kShapes[] = {{"star", star_key, routing_key},
                             {"hash", hash_key, routing_key},
                             {"mixed", mixed_key, routing_key},
                             {"turns", turns_key, turns_routing_key}};

std::uint64_t heap_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Binding binding(const Shape& shape, std::uint64_t i) {
  return {"amq.topic", "queue" + number(i % kQueues), false, shape.binding_key(i), {}};
}

void add_queues(Registry& registry) {
  for (std::uint64_t i = 0; i < kQueues; ++i) {
    QueueEntry queue;
    queue.id = static_cast<QueueId>(i + 1);
    queue.name = "queue" + number(i);
    registry.add_queue(std::move(queue));
  }
}

struct Rate {
  double routes_per_second = 0;
  double queues_per_route = 0;
};

// Routes the keys in turn until the time is over. A CC key, which nothing is bound to, makes the
// router pass its cache by; the one short word more that it matches is part of that figure.
Rate route_all(const Topology& topology, const std::vector<std::string>& keys, bool pass_cache_by,
               double seconds) {
  const std::vector<std::string> extra(pass_cache_by ? 1 : 0, "none");
  Router router;
  RouteRequest request;
  request.exchange = topology.find_exchange("amq.topic");
  request.extra_keys = extra;
  std::vector<QueueId> out;
  std::uint64_t routes = 0;
  std::uint64_t queues = 0;
  const auto start = Clock::now();
  std::chrono::duration<double> elapsed{0};
  while (elapsed.count() < seconds) {
    for (int i = 0; i < 256; ++i) {
      request.routing_key = keys[routes++ % keys.size()];
      router.route(topology, request, out);
      queues += out.size();
    }
    elapsed = Clock::now() - start;
  }
  const auto count = static_cast<double>(routes);
  return {count / elapsed.count(), static_cast<double>(queues) / count};
}

std::vector<std::string> random_keys(const Shape& shape, std::size_t count,
                                     std::uint64_t bindings) {
  std::mt19937_64 random(1);
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t binding = random() % bindings;
    keys.push_back(shape.routing_key(binding, random()));
  }
  return keys;
}

class Report {
 public:
  explicit Report(bool json) : json_(json) {}
  ~Report() {
    if (json_) std::cout << "[\n" << json_lines_.str() << "\n]\n";
  }
  void add(std::string_view what, std::string_view shape, std::uint64_t bindings, double value,
           std::string_view unit) {
    if (json_) {
      if (!first_) json_lines_ << ",\n";
      json_lines_ << "  {\"what\": \"" << what << "\", \"shape\": \"" << shape
                  << "\", \"bindings\": " << bindings << ", \"value\": " << value
                  << ", \"unit\": \"" << unit << "\"}";
      first_ = false;
    } else {
      std::cout << what << "  " << shape << "  " << bindings << " bindings: " << std::fixed
                << std::setprecision(value < 1000 ? 1 : 0) << value << ' ' << unit << '\n'
                << std::flush;
    }
  }

 private:
  bool json_;
  bool first_ = true;
  std::ostringstream json_lines_;
};

void measure_routes(const Options& options, Report& report, const Shape& shape,
                    std::uint64_t bindings) {
  ::malloc_trim(0);  // tidying up behind the measurement before is not part of this one
  Registry registry;
  add_queues(registry);
  TopologyPtr topology = registry.snapshot();
  const std::uint64_t before = heap_bytes();
  std::uint64_t key_bytes = 0;
  const double bind_seconds = seconds_of([&] {
    for (std::uint64_t i = 0; i < bindings; ++i) {
      const Binding made = binding(shape, i);
      key_bytes += made.routing_key.size();
      registry.bind(made);
    }
    topology = registry.snapshot();
  });
  const std::uint64_t used = heap_bytes() - before - key_bytes;
  const auto total = static_cast<double>(bindings);
  report.add("bytes per binding beyond its key", shape.name, bindings,
             static_cast<double>(used) / total, "bytes");
  report.add("bind, one snapshot", shape.name, bindings, total / bind_seconds, "binds/s");

  const auto hot = random_keys(shape, kHotKeys, bindings);
  const auto cold = random_keys(shape, kColdKeys, bindings);
  const Rate cached = route_all(*topology, hot, false, options.seconds);
  const Rate matched = route_all(*topology, hot, true, options.seconds);
  const Rate missed = route_all(*topology, cold, true, options.seconds);
  const Rate chased = route_all(*topology, cold, false, options.seconds);
  report.add("route, 256 keys, cached", shape.name, bindings, cached.routes_per_second, "routes/s");
  report.add("route, 256 keys, no cache", shape.name, bindings, matched.routes_per_second,
             "routes/s");
  report.add("route, 200000 keys, no cache", shape.name, bindings, missed.routes_per_second,
             "routes/s");
  report.add("route, 200000 keys, cache", shape.name, bindings, chased.routes_per_second,
             "routes/s");
  report.add("queues per route", shape.name, bindings, missed.queues_per_route, "queues");
}

// The broker cuts a snapshot for each bind that it answers; a client that pipelines gets both.
void measure_changes(Report& report, const Shape& shape, std::uint64_t bindings) {
  Registry registry;
  add_queues(registry);
  TopologyPtr topology;
  const double bind_seconds = seconds_of([&] {
    for (std::uint64_t i = 0; i < bindings; ++i) {
      registry.bind(binding(shape, i));
      topology = registry.snapshot();
    }
  });
  const auto total = static_cast<double>(bindings);
  report.add("bind, a snapshot each", shape.name, bindings, total / bind_seconds, "binds/s");
  const double unbind_seconds = seconds_of([&] {
    for (std::uint64_t i = 0; i < bindings; ++i) registry.unbind(binding(shape, i));
  });
  report.add("unbind, one snapshot", shape.name, bindings, total / unbind_seconds, "unbinds/s");
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--bindings-max" && has_value) {
      options.bindings_max = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seconds" && has_value) {
      options.seconds = std::strtod(argv[++i], nullptr);
    } else if (argument == "--shape" && has_value) {
      options.shape = argv[++i];
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::cerr << "usage: routing_bench [--json] [--bindings-max N] [--seconds S] [--shape NAME]\n";
    return 2;
  }
  Report report(options.json);
  for (const Shape& shape : kShapes) {
    if (!options.shape.empty() && options.shape != shape.name) continue;
    for (const std::uint64_t bindings : {1'000U, 100'000U, 1'000'000U}) {
      if (bindings > options.bindings_max) continue;
      measure_routes(options, report, shape, bindings);
    }
  }
  if (options.shape.empty()) measure_changes(report, kShapes[2], 100'000);
  return 0;
}
