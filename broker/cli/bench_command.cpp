// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/bench_command.hpp"

#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "broker/bench/run.hpp"
#include "broker/bench/suite.hpp"

namespace harrier::broker {
namespace {

constexpr const char* kExamples = R"(Examples:
  harrier bench run --size 16 --duration 10              as fast as it goes, transient, auto-ack
  harrier bench run --persistent --durable --confirms 1000 --prefetch 1000 --ack-every 100
  harrier bench run --rate 20000 --size 100-2000         latency at a fixed rate
  harrier bench run --exchange topic --bindings 1000 --queues 10 --consumers 10
  harrier bench rpc --in-flight 16 --direct
  harrier bench case c1k --broker-pid 4711 --json c1k.json
  harrier bench suite --port 5672 --against localhost:5673 --runs 5

Everything received is checked. Exit codes: 0 all held, 2 command line, 5 something was lost,
doubled, damaged, out of order or refused, 6 the run could not be carried out.)";

struct UsageError {
  std::string text;
};

bench::Target parse_address(const std::string& text, bench::Target target) {
  const auto colon = text.rfind(':');
  const std::string port = colon == text.npos ? "" : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), target.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
    throw UsageError{"\"" + text + "\" is no HOST:PORT"};
  }
  target.host = text.substr(0, colon);
  if (target.host.size() > 2 && target.host.front() == '[' && target.host.back() == ']') {
    target.host = target.host.substr(1, target.host.size() - 2);
  }
  return target;
}

}  // namespace

struct BenchCommand::Options {
  // One of each kind is filled in by the command that was given.
  CLI::App *bench = nullptr, *run = nullptr, *rpc = nullptr, *idle = nullptr, *declare = nullptr,
           *churn = nullptr, *one_case = nullptr, *suite = nullptr, *list = nullptr;
  bench::Target target, against;
  std::string uri, against_address, against_queue_type;
  bench::Workload workload;
  std::string size, json;
  bool quiet = false;
  std::vector<std::string> ids;
  std::uint32_t runs = 5;
  std::optional<double> warmup_s, duration_s;
  std::optional<std::uint64_t> messages, lead_max;
  std::optional<std::uint32_t> count;
  std::optional<std::string> queue_type;
  // As written; entries are parsed when all is known.
  std::vector<std::string> queue_arguments, exchange_arguments, consumer_arguments, headers;
  std::string groups;

  void add_target(CLI::App& command);
  void add_common(CLI::App& command);
  void add_run();
  void add_message();
  void add_others();
  void add_presets();
  void finish_target();
  bench::Workload finished(bench::Workload workload) const;
  void parse_entries();
  std::vector<bench::Workload> chosen() const;
  ExitCode run_one(const bench::Workload& given, std::ostream& out, std::ostream& err);
  ExitCode run_suite(std::ostream& out, std::ostream& err);
  void print_list(std::ostream& out) const;
  void write_json(const std::string& text, std::ostream& out) const;
};

void BenchCommand::Options::add_target(CLI::App& command) {
  command.add_option("--uri", uri, "amqp://user:password@host:port/vhost");
  command.add_option("-H,--host", target.host, "the broker's host (127.0.0.1)");
  command.add_option("-p,--port", target.port, "its port (5672)");
  command.add_option("-u,--user", target.user, "(guest)");
  command.add_option("--password", target.password, "(guest)");
  command.add_option("--vhost", target.vhost, "(/)");
  command.add_option("--broker-pid", target.pid,
                     "the broker's process: its CPU time and memory are reported");
  command.add_option("--json", json, "the result as JSON, to a file or to standard output (-)")
      ->type_name("FILE|-");
  command.add_flag("-q,--quiet", quiet, "no progress lines");
}

void BenchCommand::Options::add_common(CLI::App& command) {
  add_target(command);
  command.add_option("--duration", duration_s, "seconds measured (10)");
  command.add_option("--warmup", warmup_s, "seconds before that (2)");
  command.add_option("--messages", messages, "a number of messages instead of a duration");
  command.add_option("--queue-type", queue_type, "x-queue-type: classic, quorum, ...");
  command.add_option(
      "--lead", lead_max,
      "publishers wait while so many messages are sent and not delivered (no limit)");
  command.add_option("--stall", workload.stall_s, "give up after so many seconds of nothing (30)");
  command.add_option("--settle", workload.settle_s,
                     "what has not come so many seconds after the last is lost (10)");
  command.add_option("--spin-us", workload.spin_us,
                     "spin through waits up to so many microseconds instead of sleeping (0)");
}

void BenchCommand::Options::add_run() {
  run = bench->add_subcommand("run", "Publishers and consumers.");
  add_common(*run);
  run->add_option("--publishers", workload.publishers, "(1)");
  run->add_option("--consumers", workload.consumers, "(1)");
  run->add_option("--queues", workload.queues, "(1)");
  run->add_option("--exchange", workload.exchange_type,
                  "direct, fanout, topic, headers or x-delayed-message (the default exchange)");
  run->add_option("--bindings", workload.bindings,
                  "over all queues, with a key each; messages take a random one (one per queue)");
  run->add_option("--key-variety", workload.key_variety,
                  "different routing keys per wildcard binding (16)");
  run->add_flag("--durable", workload.durable, "durable queues and exchange");
  run->add_flag("--persistent", workload.persistent, "delivery mode 2");
  run->add_option("--size", size, "bytes: 16, 100-2000, or with weights 16:90,4096:10 (1024)");
  run->add_option("--confirms", workload.confirm_window,
                  "publisher confirms, at most so many open per publisher (none)")
      ->type_name("WINDOW");
  run->add_option("--prefetch", workload.prefetch, "per consumer (0: no limit)");
  run->add_option("--ack-every", workload.ack_every,
                  "deliveries per acknowledgement (0: auto-ack)");
  run->add_option("--rate", workload.rate,
                  "messages/s of all publishers together; latency counts from the time at which a "
                  "message was due (as many as go)");
  run->add_flag("--latency-from-sending", workload.latency_from_sending,
                "latency counts from when a message was sent, not from when it was due");
  run->add_option("--consume-rate", workload.consume_rate,
                  "messages/s that all consumers together acknowledge while publishers send");
  run->add_flag("--reject", workload.reject,
                "consumers reject everything into dead letter queues, and as many receive that");
  run->add_flag("--backlog", workload.backlog, "start consuming when all is published");
  run->add_option(
      "--standing", workload.standing,
      "so many messages are in the queues from before the start to the end; with --lead "
      "for what may be under way beyond them");
  run->add_option("--pending", workload.pending,
                  "so many messages are kept by the x-delayed-message exchange during the run");
  run->add_flag("--keep", workload.keep, "leave the queues, and what is in them, when it is over");
}

void BenchCommand::Options::add_message() {
  const auto add_entries = [&](const char* name, std::vector<std::string>& out, const char* text) {
    run->add_option(name, out, text)->type_name("NAME=VALUE")->allow_extra_args(false);
  };
  add_entries("--queue-argument", queue_arguments, "of each queue (repeatable)");
  add_entries("--exchange-argument", exchange_arguments, "of the exchange (repeatable)");
  add_entries("--consumer-argument", consumer_arguments, "of each consumer (repeatable)");
  add_entries("--header", headers, "of each message (repeatable)");
  run->add_option("--priorities", workload.message.priorities,
                  "each message has one of so many priorities; order counts within each (none)");
  run->add_option("--groups", groups,
                  "each message has one of COUNT texts in header NAME; order counts within each")
      ->type_name("NAME=COUNT");
  run->add_option("--expiration", workload.message.expiration, "of each message, in milliseconds");
  run->add_flag("--message-id", workload.message.message_id, "a different one for each message");
}

void BenchCommand::Options::add_others() {
  rpc = bench->add_subcommand("rpc", "Requests and their answers.");
  add_common(*rpc);
  rpc->add_option("--in-flight", workload.in_flight, "requests at a time (1)");
  rpc->add_flag("--direct", workload.direct_reply, "direct reply-to instead of a reply queue");
  rpc->add_option("--size", size, "bytes (1024)");
  idle = bench->add_subcommand("idle", "Connections with a channel that do nothing.");
  add_common(*idle);
  idle->add_option("--count", count, "(1000)");
  idle->add_option("--parallel", workload.parallel, "being opened at a time (1)");
  churn = bench->add_subcommand("churn", "Connections, opened and closed.");
  add_common(*churn);
  churn->add_option("--count", count, "(1000)");
  churn->add_option("--parallel", workload.parallel, "at a time (1)");
  declare = bench->add_subcommand("declare", "Queues, declared and deleted.");
  add_common(*declare);
  declare->add_option("--count", count, "(1000)");
  declare->add_flag("--pipelined", workload.pipelined, "without waiting for each answer");
  declare->add_flag("--durable", workload.durable, "durable queues");
  declare->add_flag("--keep", workload.keep, "leave them when it is over");
}

void BenchCommand::Options::add_presets() {
  one_case = bench->add_subcommand("case", "A case of the standard matrix, by its id.");
  add_common(*one_case);
  one_case->add_option("--count", count, "of connections or queues, instead of the case's own");
  one_case->add_option("id", ids, "see `harrier bench list`")->required()->expected(1);
  suite = bench->add_subcommand("suite", "The standard matrix, against one or two brokers.");
  add_common(*suite);
  suite->add_option("--count", count, "of connections or queues, instead of each case's own");
  suite->add_option("--against", against_address, "the other broker")->type_name("HOST:PORT");
  suite->add_option("--against-pid", against.pid, "its process");
  suite->add_option("--against-queue-type", against_queue_type, "x-queue-type there");
  suite->add_option("--runs", runs, "of each case and broker, in turn (5)");
  suite->add_option("--cases", ids, "separated by commas (all)")->delimiter(',');
  list = bench->add_subcommand("list", "The cases of the standard matrix.");
}

void BenchCommand::Options::finish_target() {
  if (!uri.empty()) {
    const std::string wrong = bench::apply_uri(uri, target);
    if (!wrong.empty()) throw UsageError{"--uri: " + wrong};
  }
  if (!against_address.empty()) {
    const int pid = against.pid;
    against = parse_address(against_address, target);
    against.pid = pid;
  }
}

void BenchCommand::Options::parse_entries() {
  const auto parse_all = [](const char* name, const std::vector<std::string>& entries,
                            protocol::Table& out) {
    for (const std::string& each : entries) {
      const std::string wrong = bench::parse_entry(each, out);
      if (!wrong.empty()) throw UsageError{std::string(name) + ": " + wrong};
    }
  };
  parse_all("--queue-argument", queue_arguments, workload.queue_arguments);
  parse_all("--exchange-argument", exchange_arguments, workload.exchange_arguments);
  parse_all("--consumer-argument", consumer_arguments, workload.consumer_arguments);
  parse_all("--header", headers, workload.message.headers);
  if (groups.empty()) return;
  const std::string wrong = bench::parse_groups(groups, workload.message);
  if (!wrong.empty()) throw UsageError{"--groups: " + wrong};
}

bench::Workload BenchCommand::Options::finished(bench::Workload given) const {
  if (warmup_s) given.warmup_s = *warmup_s;
  if (duration_s) given.duration_s = *duration_s;
  if (messages) given.messages = *messages;
  if (count) given.count = *count;
  if (lead_max && !given.backlog) given.lead_max = *lead_max;
  if (queue_type) given.queue_type = *queue_type;
  given.stall_s = workload.stall_s;
  given.settle_s = workload.settle_s;
  if (workload.spin_us != 0) given.spin_us = workload.spin_us;
  given.progress = !quiet;
  if (!size.empty()) {
    const std::string wrong = bench::Sizes::parse(size, given.sizes);
    if (!wrong.empty()) throw UsageError{"--size: " + wrong};
  }
  const std::string wrong = bench::check(given);
  if (!wrong.empty()) throw UsageError{given.id + ": " + wrong};
  return given;
}

std::vector<bench::Workload> BenchCommand::Options::chosen() const {
  if (ids.empty()) return bench::presets();
  std::vector<bench::Workload> out;
  for (const std::string& id : ids) {
    const bench::Workload* const found = bench::find_preset(id);
    if (found == nullptr) {
      throw UsageError{"no case \"" + id + "\"; `harrier bench list` names them"};
    }
    out.push_back(*found);
  }
  return out;
}

void BenchCommand::Options::write_json(const std::string& text, std::ostream& out) const {
  if (json.empty()) return;
  if (json == "-") {
    out << text;
    return;
  }
  std::ofstream file(json);
  file << text;
  file.flush();
  if (!file) throw UsageError{"--json: cannot write " + json};
}

ExitCode BenchCommand::Options::run_one(const bench::Workload& given, std::ostream& out,
                                        std::ostream& err) {
  const bench::Result result = bench::run_workload(target, finished(given));
  bench::print_summary(result, json == "-" ? err : out);
  write_json(bench::to_json(result), out);
  if (!result.error.empty()) return ExitCode::BenchFailed;
  return result.ok() ? ExitCode::Ok : ExitCode::BenchViolated;
}

ExitCode BenchCommand::Options::run_suite(std::ostream& out, std::ostream& err) {
  bench::Suite plan;
  plan.target = target;
  if (!against_address.empty()) plan.against = against;
  plan.against_queue_type = against_queue_type;
  plan.runs = runs;
  if (runs == 0) throw UsageError{"--runs: none"};
  for (const bench::Workload& each : chosen()) plan.cases.push_back(finished(each));
  const auto outcomes = bench::run_suite(plan, err);
  bench::print_table(outcomes, json == "-" ? err : out);
  write_json(bench::to_json(outcomes), out);
  if (bench::all_ok(outcomes)) return ExitCode::Ok;
  for (const auto& outcome : outcomes) {
    for (const auto* results : {&outcome.ours, &outcome.theirs}) {
      for (const bench::Result& result : *results) {
        if (result.error.empty() && !result.ok()) return ExitCode::BenchViolated;
      }
    }
  }
  return ExitCode::BenchFailed;
}

void BenchCommand::Options::print_list(std::ostream& out) const {
  for (const bench::Workload& each : bench::presets()) {
    out << each.id << std::string(10 - std::min<std::size_t>(each.id.size(), 9), ' ')
        << describe(each) << '\n';
  }
}

BenchCommand::BenchCommand(CLI::App& app) : options_(std::make_unique<Options>()) {
  options_->bench = app.add_subcommand("bench", "Puts load on a broker, and checks what it does.");
  options_->bench->require_subcommand(1);
  options_->bench->footer(kExamples);
  options_->add_run();
  options_->add_message();
  options_->add_others();
  options_->add_presets();
}

BenchCommand::~BenchCommand() = default;

bool BenchCommand::parsed() const { return options_->bench->parsed(); }

ExitCode BenchCommand::run(std::ostream& out, std::ostream& err) {
  Options& options = *options_;
  try {
    if (options.list->parsed()) {
      options.print_list(out);
      return ExitCode::Ok;
    }
    options.finish_target();
    options.parse_entries();
    if (options.suite->parsed()) return options.run_suite(out, err);
    if (options.one_case->parsed()) return options.run_one(options.chosen().front(), out, err);
    bench::Workload workload = options.workload;
    const auto set_mode = [&](const CLI::App* command, bench::Mode mode) {
      if (!command->parsed()) return;
      workload.mode = mode;
      workload.id = command->get_name();
    };
    set_mode(options.rpc, bench::Mode::Rpc);
    set_mode(options.idle, bench::Mode::Idle);
    set_mode(options.churn, bench::Mode::Churn);
    set_mode(options.declare, bench::Mode::Declare);
    if (options.idle->parsed() && !options.duration_s) workload.duration_s = 1;
    return options.run_one(workload, out, err);
  } catch (const UsageError& error) {
    err << "harrier bench: " << error.text << '\n';
    return ExitCode::Usage;
  }
}

}  // namespace harrier::broker
