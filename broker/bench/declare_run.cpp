// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>

#include "broker/bench/run.hpp"

namespace harrier::bench {
namespace {

// Pipelined: as many requests are under way; otherwise one.
constexpr std::uint64_t kPipelined = 1000;

// Declares and deletes queues over one connection. Every answer is checked for the queue's name,
// and makes room for the next request.
class Declarer final : public ConnectionEvents {
 public:
  Declarer(Loop& loop, const Endpoint& endpoint, const Workload& workload, const Names& names)
      : loop_(loop),
        workload_(workload),
        names_(names),
        arguments_(queue_arguments(workload)),
        connection_(loop, endpoint, *this) {}

  Connection& connection() { return connection_; }

  void open() {
    connection_.start();
    loop_.run_until([&] { return connection_.open(); }, workload_.stall_s, "connecting");
  }
  void storm(bool deleting) {
    deleting_ = deleting;
    next_ = answered_ = 0;
    next_line_ns_ = Loop::now_ns() + kSecondNs;
    for (std::uint64_t i = 0; i < (workload_.pipelined ? kPipelined : 1); ++i) ask();
    connection_.flush();
    loop_.run_until([&] { return finished(); }, workload_.stall_s,
                    deleting ? "deleting queues" : "declaring queues",
                    [&] { return connection_.replies(); });
  }

  void on_reply(protocol::MethodId id, protocol::ByteView payload) override {
    if (id == protocol::QueueDeclareOk::kId) {
      protocol::QueueDeclareOk ok;
      if (protocol::decode_as(payload, ok) != protocol::DecodeStatus::Ok ||
          ok.queue != names_.queue(answered_) || ok.message_count != 0) {
        throw BenchError("the answer to a declaration is not the one that was due");
      }
    } else if (id != protocol::QueueDeleteOk::kId) {
      throw BenchError("an answer that was not asked for");
    }
    ++answered_;
    ask();
  }

 private:
  void ask() {
    if (next_ == workload_.count) return;
    const std::string name = names_.queue(next_++);
    if (deleting_) {
      protocol::QueueDelete method;
      method.queue = name;
      connection_.request(method);
    } else {
      protocol::QueueDeclare method;
      method.queue = name;
      method.durable = workload_.durable;
      method.arguments = arguments_;
      connection_.request(method);
    }
  }
  bool finished() {
    if (workload_.progress && loop_.turn_ns() >= next_line_ns_) {
      next_line_ns_ += kSecondNs;
      std::cerr << workload_.id << "  " << answered_ << " of " << workload_.count << " queues "
                << (deleting_ ? "deleted" : "declared") << '\n';
    }
    return answered_ == workload_.count;
  }

  Loop& loop_;
  const Workload& workload_;
  const Names& names_;
  protocol::Table arguments_;
  Connection connection_;
  bool deleting_ = false;
  std::uint32_t next_ = 0, answered_ = 0;
  std::uint64_t next_line_ns_ = 0;
};

}  // namespace

void run_declare(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result) {
  const Workload& workload = result.workload;
  const int pid = endpoint.target.pid;
  Declarer declarer(loop, endpoint, workload, names);
  declarer.open();
  result.product = declarer.connection().product();
  Figures memory;
  const auto before = add_memory(pid, "before_", memory);
  const Usage start = Usage::now(pid);
  declarer.storm(false);
  const Usage declared = Usage::now(pid);
  const auto after = add_memory(pid, "", result.figures);
  const std::uint64_t deleting = Loop::now_ns();
  if (!workload.keep) declarer.storm(true);
  const std::uint64_t deleted = Loop::now_ns();
  result.figures.set("queues", workload.count);
  result.figures.set("declared_per_s",
                     workload.count / seconds_between(start.at_ns, declared.at_ns));
  if (!workload.keep) {
    result.figures.set("deleted_per_s", workload.count / seconds_between(deleting, deleted));
  }
  if (before && after) {
    const double grown =
        static_cast<double>(after->resident_bytes) - static_cast<double>(before->resident_bytes);
    result.figures.set("bytes_per_queue", grown / workload.count);
  }
  add_usage(start, declared, {{"broker_cpu_s_per_million_declared", workload.count}},
            result.figures);
  close_all(loop, {&declarer.connection()}, workload.stall_s);
}

}  // namespace harrier::bench
