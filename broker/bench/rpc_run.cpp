// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <iostream>

#include "broker/bench/message_writer.hpp"
#include "broker/bench/meter.hpp"
#include "broker/bench/run.hpp"
#include "broker/bench/statistics.hpp"
#include "protocol/properties.hpp"

namespace harrier::bench {
namespace {

constexpr const char* kDirectReply = "amq.rabbitmq.reply-to";
constexpr std::uint32_t kRequestQueue = 0, kReplyQueue = 1;

void consume(Connection& connection, const std::string& queue) {
  protocol::BasicConsume method;
  method.queue = queue;
  method.no_ack = true;
  connection.request(method);
  connection.flush();
}

// Takes requests and sends each back to where it asks for its answer.
class Server final : public ConnectionEvents {
 public:
  Server(Loop& loop, const Endpoint& endpoint, const BodyFormat& format, Violations& violations)
      : connection_(loop, endpoint, *this),
        writer_(connection_, format),
        check_(format),
        violations_(violations) {}

  Connection& connection() { return connection_; }

  void on_header(std::uint64_t body_size, protocol::ByteView properties) override {
    size_ = static_cast<std::uint32_t>(body_size);
    check_.begin(body_size);
    const auto view = protocol::PropertiesView::parse(properties);
    const auto reply_to = view ? view->text(protocol::kReplyTo) : std::nullopt;
    const auto correlation = view ? view->text(protocol::kCorrelationId) : std::nullopt;
    if (!reply_to || !correlation) throw BenchError("a request came without its reply-to");
    reply_to_ = *reply_to;
    protocol::Properties answer;
    answer.correlation_id = *correlation;
    answer_properties_ = answer.encode();
  }
  void on_body(protocol::ByteView piece) override { check_.feed(piece); }
  void on_delivered() override {
    BodyHeader header;
    if (!check_.finish(header)) {
      violations_.note(violations_.damaged, 1, "a request was damaged");
      return;
    }
    protocol::BasicPublish method;
    method.routing_key = reply_to_;
    writer_.put(method, answer_properties_, header, size_);
  }

 private:
  Connection connection_;
  MessageWriter writer_;
  BodyCheck check_;
  Violations& violations_;
  std::uint32_t size_ = 0;
  std::string reply_to_;
  std::vector<std::uint8_t> answer_properties_;
};

// Sends requests, so many at a time, and takes the answers; every answer makes room for the next.
class Client final : public ConnectionEvents {
 public:
  Client(Loop& loop, const Endpoint& endpoint, const BodyFormat& format, const Workload& workload,
         std::string request_queue, std::string reply_to, Meter& meter, Violations& violations)
      : loop_(loop),
        connection_(loop, endpoint, *this),
        writer_(connection_, format),
        check_(format),
        workload_(workload),
        request_queue_(std::move(request_queue)),
        reply_to_(std::move(reply_to)),
        meter_(meter),
        violations_(violations) {}

  Connection& connection() { return connection_; }
  std::uint64_t in_flight() const { return sent_ - answered_.size(); }
  void stop() { left_ = 0; }
  void start(std::uint64_t requests) {
    left_ = requests;
    for (std::uint32_t i = 0; i < workload_.in_flight; ++i) ask();
    connection_.flush();
  }

  void on_header(std::uint64_t body_size, protocol::ByteView properties) override {
    check_.begin(body_size);
    const auto view = protocol::PropertiesView::parse(properties);
    const auto text = view ? view->text(protocol::kCorrelationId) : std::nullopt;
    if (!text) throw BenchError("an answer came without its correlation-id");
    correlation_ = *text;
  }
  void on_body(protocol::ByteView piece) override { check_.feed(piece); }
  void on_delivered() override {
    BodyHeader header;
    if (!check_.finish(header)) {
      violations_.note(violations_.damaged, 1, "an answer was damaged");
    } else if (header.sequence >= sent_ || correlation_ != std::to_string(header.sequence)) {
      violations_.note(violations_.misrouted, 1, "an answer to a request that was not sent");
    } else if (!answered_.insert(header.sequence)) {
      violations_.note(violations_.duplicates, 1,
                       "request " + std::to_string(header.sequence) + " was answered twice");
    } else {
      const std::uint64_t now = loop_.turn_ns();
      const std::uint64_t elapsed = elapsed_ns(header.ticks, now);
      if (meter_.measures(now - elapsed)) meter_.delivery_ns.record(elapsed);
      ++meter_.delivered;
      ask();
    }
  }

 private:
  void ask() {
    if (left_ == 0) return;
    --left_;
    const BodyHeader header{0, sent_++, to_ticks(Loop::now_ns())};
    protocol::Properties properties;
    properties.correlation_id = std::to_string(header.sequence);
    properties.reply_to = reply_to_;
    protocol::BasicPublish method;
    method.routing_key = request_queue_;
    writer_.put(method, properties.encode(), header, workload_.sizes.max());
  }

  Loop& loop_;
  Connection connection_;
  MessageWriter writer_;
  BodyCheck check_;
  const Workload& workload_;
  std::string request_queue_, reply_to_, correlation_;
  Meter& meter_;
  Violations& violations_;
  std::uint64_t left_ = 0, sent_ = 0;
  SequenceSet answered_;
};

void wait_open(Loop& loop, Connection& connection, const std::string& queue, double stall_s) {
  connection.start();
  loop.run_until([&] { return connection.open(); }, stall_s, "connecting");
  consume(connection, queue);
  loop.run_until([&] { return connection.unanswered() == 0; }, stall_s, "consuming");
}

class RpcRun final : public Ticker {
 public:
  RpcRun(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result)
      : loop_(loop),
        endpoint_(endpoint),
        result_(result),
        workload_(result.workload),
        format_(random_run(), workload_.sizes.max()),
        setup_(loop, endpoint, workload_, names),
        request_queue_(names.queue(kRequestQueue)),
        reply_queue_(workload_.direct_reply ? kDirectReply : names.queue(kReplyQueue)),
        server_(loop, endpoint, format_, result.violations),
        client_(loop, endpoint, format_, workload_, request_queue_, reply_queue_, meter_,
                result.violations) {}

  ~RpcRun() override { loop_.set_ticker(nullptr); }

  void run() {
    setup_.open();
    result_.product = setup_.product();
    setup_.declare();
    wait_open(loop_, server_.connection(), request_queue_, workload_.stall_s);
    wait_open(loop_, client_.connection(), reply_queue_, workload_.stall_s);
    loop_.set_spin_ns(static_cast<std::uint64_t>(workload_.spin_us * 1000));
    loop_.set_ticker(this);
    next_line_ns_ = Loop::now_ns() + kSecondNs;
    measure();
    finish();
    loop_.set_ticker(nullptr);
    close_all(loop_, {&client_.connection(), &server_.connection()}, workload_.stall_s);
    setup_.remove();
    setup_.close();
  }

  std::uint64_t on_turn(std::uint64_t now_ns) override {
    if (!workload_.progress) return kNever;
    if (now_ns >= next_line_ns_) {
      const double seconds = seconds_between(next_line_ns_ - kSecondNs, now_ns);
      const auto count = static_cast<double>(meter_.delivered - shown_);
      std::cerr << workload_.id << "  " << format_figure(count / seconds) << " round trips/s\n";
      shown_ = meter_.delivered;
      next_line_ns_ = now_ns + kSecondNs;
    }
    return next_line_ns_;
  }

 private:
  void until(const std::function<bool()>& done, double stall_s) {
    loop_.run_until(done, stall_s, "waiting for answers", [&] { return meter_.delivered; });
  }

  void measure() {
    client_.start(workload_.messages != 0 ? workload_.messages : kNever);
    std::uint64_t end_ns = Loop::now_ns();
    const auto after = [&](double seconds) {
      end_ns += static_cast<std::uint64_t>(seconds * static_cast<double>(kSecondNs));
      until([&] { return loop_.turn_ns() >= end_ns; }, workload_.stall_s);
    };
    if (workload_.messages == 0) after(workload_.warmup_s);
    const Usage start = Usage::now(endpoint_.target.pid);
    const std::uint64_t before = workload_.messages == 0 ? meter_.delivered : 0;
    meter_.window_start_ns = workload_.messages == 0 ? start.at_ns : 0;
    if (workload_.messages == 0) {
      after(workload_.duration_s);
    } else {
      until([&] { return meter_.delivered >= workload_.messages; }, workload_.settle_s);
    }
    const Usage end = Usage::now(endpoint_.target.pid);
    meter_.window_end_ns = end.at_ns;
    client_.stop();
    const double seconds = seconds_between(start.at_ns, end.at_ns);
    const std::uint64_t count = meter_.delivered - before;
    result_.figures.set("measured_s", seconds);
    result_.figures.set("round_trips_per_s", static_cast<double>(count) / seconds);
    add_usage(start, end, {{"broker_cpu_s_per_million_round_trips", count}}, result_.figures);
    add_memory(endpoint_.target.pid, "", result_.figures);
  }

  void finish() {
    try {
      until([&] { return client_.in_flight() == 0; }, workload_.settle_s);
    } catch (const Stalled&) {
      Violations& violations = result_.violations;
      violations.note(violations.lost, client_.in_flight(),
                      std::to_string(client_.in_flight()) + " requests were never answered");
    }
    result_.figures.set("round_trips", static_cast<double>(meter_.delivered));
    add_latency("rpc", meter_.delivery_ns, result_.figures);
  }

  Loop& loop_;
  const Endpoint& endpoint_;
  Result& result_;
  const Workload& workload_;
  BodyFormat format_;
  Meter meter_;
  Setup setup_;
  std::string request_queue_, reply_queue_;
  Server server_;
  Client client_;
  std::uint64_t next_line_ns_ = 0, shown_ = 0;  // of the progress lines
};

}  // namespace

void run_rpc(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result) {
  result.workload.queues = result.workload.direct_reply ? 1 : 2;
  result.workload.exchange_type.clear();
  RpcRun(loop, endpoint, names, result).run();
}

}  // namespace harrier::bench
