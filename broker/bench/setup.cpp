// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/setup.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

namespace harrier::bench {
namespace {

// Requests under way at a time: enough to keep the broker busy, few enough for its buffers.
constexpr std::uint64_t kPipelined = 500;
// Removing is not what is measured, and a broker may take a minute over an exchange with 100,000
// bindings without a word in between.
constexpr double kRemovalStallS = 300;

void append(std::string& out, const char* before, std::uint32_t number) {
  out += before;
  out += std::to_string(number);
}

}  // namespace

std::uint64_t random_run() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

Names::Names(std::uint64_t run) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "harrier-bench.%016llx",
                static_cast<unsigned long long>(run));
  prefix_ = text.data();
}

std::string binding_key(const std::string& exchange_type, std::uint32_t binding) {
  std::string key;
  if (exchange_type == "direct") {
    append(key, "k", binding);
  } else if (exchange_type == "topic" && binding % 3 == 0) {
    append(key, "a", binding);
    key += ".*.x";
  } else if (exchange_type == "topic" && binding % 3 == 1) {
    append(key, "*.b", binding);
    key += ".y";
  } else if (exchange_type == "topic") {
    append(key, "#.c", binding);
  }
  return key;
}

void routing_key(const std::string& exchange_type, std::uint32_t binding, std::uint32_t variety,
                 std::string& out) {
  out.clear();
  if (exchange_type == "direct") {
    append(out, "k", binding);
  } else if (exchange_type == "topic" && binding % 3 == 0) {
    append(out, "a", binding);
    append(out, ".r", variety);
    out += ".x";
  } else if (exchange_type == "topic" && binding % 3 == 1) {
    append(out, "r", variety);
    append(out, ".b", binding);
    out += ".y";
  } else if (exchange_type == "topic") {
    append(out, "r", variety);
    append(out, ".z.c", binding);
  }
}

protocol::Table binding_headers(std::uint32_t binding) {
  protocol::Table table;
  table.add("x-match", "all").add_int32(kBindingHeader, static_cast<std::int32_t>(binding));
  return table;
}

protocol::Table queue_arguments(const Workload& workload) {
  protocol::Table table = workload.queue_arguments;
  if (!workload.queue_type.empty()) table.add("x-queue-type", workload.queue_type);
  return table;
}

bool keeps_all(const Workload& workload) {
  const protocol::Table arguments = queue_arguments(workload);
  const auto type = arguments.view().find("x-queue-type");
  return type && type->as_text() == "stream";
}

Setup::Setup(Loop& loop, const Endpoint& endpoint, const Workload& workload, const Names& names)
    : loop_(loop),
      workload_(workload),
      names_(names),
      routing_type_(routing_type(workload)),
      connection_(loop, endpoint, *this),
      stall_s_(workload.stall_s),
      bindings_(std::max(workload.bindings, workload.queues)) {}

void Setup::open() {
  connection_.start();
  loop_.run_until([&] { return connection_.open(); }, workload_.stall_s, "connecting");
}

void Setup::wait(std::uint64_t unanswered_max) {
  connection_.flush();
  loop_.run_until([&] { return connection_.unanswered() <= unanswered_max; }, stall_s_,
                  "waiting for answers to declarations", [&] { return connection_.replies(); });
}

void Setup::declare() {
  if (!workload_.exchange_type.empty()) {
    protocol::ExchangeDeclare exchange;
    exchange.exchange = names_.exchange();
    exchange.type = workload_.exchange_type;
    exchange.durable = workload_.durable;
    exchange.arguments = workload_.exchange_arguments;
    connection_.request(exchange);
  }
  declare_queues();
  wait(0);
  if (workload_.exchange_type.empty()) return;
  const std::uint64_t start = Loop::now_ns();
  bind();
  wait(0);
  bind_seconds_ = static_cast<double>(Loop::now_ns() - start) / static_cast<double>(kSecondNs);
}

void Setup::declare_queues() {
  const protocol::Table arguments = queue_arguments(workload_);
  for (std::uint32_t i = 0; i < workload_.queues; ++i) {
    if (!workload_.reject) {
      declare_queue(names_.queue(i), arguments);
      continue;
    }
    const std::string dead = names_.dead_letters(i);
    protocol::Table to_dead = arguments;
    to_dead.add("x-dead-letter-exchange", "").add("x-dead-letter-routing-key", dead);
    declare_queue(dead, {});
    declare_queue(names_.queue(i), to_dead);
  }
}

void Setup::declare_queue(const std::string& name, protocol::TableView arguments) {
  protocol::QueueDeclare queue;
  queue.queue = name;
  queue.durable = workload_.durable;
  queue.arguments = arguments;
  connection_.request(queue);
  if (connection_.unanswered() >= kPipelined) wait(kPipelined / 2);
}

void Setup::delete_queue(const std::string& name) {
  protocol::QueueDelete queue;
  queue.queue = name;
  connection_.request(queue);
  if (connection_.unanswered() >= kPipelined) wait(kPipelined / 2);
}

void Setup::bind() {
  for (std::uint32_t i = 0; i < bindings_; ++i) {
    const std::string queue = names_.queue(i % workload_.queues);
    const std::string key = binding_key(routing_type_, i);
    protocol::Table headers;
    if (routing_type_ == "headers") headers = binding_headers(i);
    protocol::QueueBind method;
    method.queue = queue;
    method.exchange = names_.exchange();
    method.routing_key = key;
    method.arguments = headers;
    connection_.request(method);
    if (connection_.unanswered() >= kPipelined) wait(kPipelined / 2);
  }
}

std::uint64_t Setup::remove() {
  if (!connection_.open()) open();
  left_over_ = 0;
  stall_s_ = std::max(workload_.stall_s, kRemovalStallS);
  // The exchange first: its bindings go at once, rather than one queue after the other.
  if (!workload_.exchange_type.empty()) {
    protocol::ExchangeDelete exchange;
    exchange.exchange = names_.exchange();
    connection_.request(exchange);
  }
  for (std::uint32_t i = 0; i < workload_.queues; ++i) {
    delete_queue(names_.queue(i));
    if (workload_.reject) delete_queue(names_.dead_letters(i));
  }
  wait(0);
  return left_over_;
}

void Setup::close() {
  if (!connection_.open()) return;
  connection_.start_close();
  loop_.run_until([&] { return connection_.closed(); }, workload_.stall_s, "closing");
}

void Setup::on_reply(protocol::MethodId id, protocol::ByteView payload) {
  if (id != protocol::QueueDeleteOk::kId) return;
  protocol::QueueDeleteOk ok;
  if (protocol::decode_as(payload, ok) != protocol::DecodeStatus::Ok) {
    throw BenchError("malformed queue.delete-ok");
  }
  left_over_ += ok.message_count;
}

std::string clean_up(const Endpoint& endpoint, const Workload& workload, const Names& names) {
  try {
    Loop loop;
    loop.ignore_interrupts();
    Setup setup(loop, endpoint, workload, names);
    setup.remove();
    setup.close();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace harrier::bench
