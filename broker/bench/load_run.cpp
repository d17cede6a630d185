// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>

#include "broker/bench/consumer.hpp"
#include "broker/bench/run.hpp"
#include "broker/bench/statistics.hpp"

namespace harrier::bench {
namespace {

// Publishers and consumers of one run, and the phases they go through: set up, warm up, measure,
// let the rest arrive, tear down. Lives on the stack of run_load().
class LoadRun final : public Ticker {
 public:
  LoadRun(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result);
  ~LoadRun() override { loop_.set_ticker(nullptr); }

  void run();
  std::uint64_t on_turn(std::uint64_t now_ns) override;

 private:
  template <class Peer>
  void open(const std::vector<std::unique_ptr<Peer>>& peers, const char* what);
  void open_consumers();
  void lift_limits();
  void put_pending();
  void fill();
  void start_publishers(std::uint64_t messages);
  void measure_time();
  void measure_count();
  void drain();
  void settle();
  void settle_standing();
  void tear_down();
  void report_rates(std::uint64_t published, std::uint64_t confirmed, std::uint64_t delivered,
                    double seconds);
  void report();
  void print_progress(std::uint64_t now_ns);
  std::uint64_t unconfirmed() const;
  std::string blocked() const;
  std::uint64_t progress() const { return meter_.published + meter_.confirmed + meter_.delivered; }
  bool all_sent() const;
  bool all_settled() const {
    return all_sent() && unconfirmed() == 0 && (!consuming_ || ledger_.complete());
  }
  void note_missing();

  Loop& loop_;
  const Endpoint& endpoint_;
  Result& result_;
  const Workload& workload_;
  BodyFormat format_;
  Ledger ledger_;
  Meter meter_;
  RunContext context_;
  Setup setup_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  bool consuming_ = false;
  std::uint64_t phase_end_ns_ = kNever;
  std::uint64_t started_ns_ = 0, next_line_ns_ = kNever;
  Meter shown_;  // as of the last progress line; its histograms are not used
};

LoadRun::LoadRun(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result)
    : loop_(loop),
      endpoint_(endpoint),
      result_(result),
      workload_(result.workload),
      format_(random_run(), workload_.sizes.max()),
      ledger_(workload_.publishers, workload_.queues, routing_type(workload_) == "fanout",
              workload_.message.classes()),
      context_{loop, endpoint, workload_, names, format_, ledger_, meter_},
      setup_(loop, endpoint, workload_, names) {
  for (std::uint32_t i = 0; i < workload_.publishers; ++i) {
    publishers_.push_back(std::make_unique<Publisher>(context_, i));
  }
  for (std::uint32_t i = 0; i < workload_.consumers; ++i) {
    using Role = Consumer::Role;
    if (workload_.reject) {
      consumers_.push_back(std::make_unique<Consumer>(context_, i, Role::ReceivesDeadLetters));
      consumers_.push_back(std::make_unique<Consumer>(context_, i, Role::Rejects));
    } else {
      consumers_.push_back(std::make_unique<Consumer>(context_, i));
    }
  }
}

template <class Peer>
void LoadRun::open(const std::vector<std::unique_ptr<Peer>>& peers, const char* what) {
  std::size_t ready = 0;
  for (const auto& peer : peers) peer->connection().start();
  loop_.run_until(
      [&] {
        while (ready < peers.size() && peers[ready]->connection().open()) ++ready;
        return ready == peers.size();
      },
      workload_.stall_s, what, [&] { return ready; });
  for (const auto& peer : peers) peer->prepare();
  loop_.run_until(
      [&] {
        return std::all_of(peers.begin(), peers.end(),
                           [](const auto& peer) { return peer->connection().unanswered() == 0; });
      },
      workload_.stall_s, what);
}

void LoadRun::open_consumers() {
  open(consumers_, "starting the consumers");
  consuming_ = !consumers_.empty();
}

void LoadRun::lift_limits() {
  for (const auto& consumer : consumers_) consumer->lift_limit();
}

// What a delaying exchange holds while the run goes on.
void LoadRun::put_pending() {
  const std::uint64_t count = publishers_.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t share = workload_.pending / count + (i < workload_.pending % count ? 1 : 0);
    if (share != 0) publishers_[i]->start_pending(share);
  }
  loop_.run_until([&] { return all_sent() && unconfirmed() == 0; }, workload_.stall_s,
                  "sending delayed messages", [&] { return meter_.pending + meter_.confirmed; });
  meter_.confirmed = 0;
  add_memory(endpoint_.target.pid, "pending_", result_.figures);
}

// The backlog that stands in the queues while the run goes on.
void LoadRun::fill() {
  const std::uint64_t start = Loop::now_ns();
  start_publishers(workload_.standing);
  loop_.run_until([&] { return all_sent() && unconfirmed() == 0; }, workload_.stall_s,
                  "filling the queues", [&] { return progress(); });
  const double seconds = seconds_between(start, Loop::now_ns());
  result_.figures.set("filled_per_s", static_cast<double>(workload_.standing) / seconds);
  add_memory(endpoint_.target.pid, "standing_", result_.figures);
}

void LoadRun::start_publishers(std::uint64_t messages) {
  started_ns_ = Loop::now_ns();
  if (workload_.progress) next_line_ns_ = started_ns_ + kSecondNs;
  const std::uint64_t count = publishers_.size();
  for (std::size_t i = 0; i < count; ++i) {
    // The first ones take what does not divide.
    const std::uint64_t share =
        messages == kNever ? kNever : messages / count + (i < messages % count ? 1 : 0);
    publishers_[i]->start(started_ns_, share);
  }
}

std::uint64_t LoadRun::on_turn(std::uint64_t now_ns) {
  std::uint64_t next = std::min(phase_end_ns_, next_line_ns_);
  if (workload_.rate > 0 || workload_.lead_max > 0) {
    for (const auto& publisher : publishers_) next = std::min(next, publisher->pump(now_ns));
  }
  if (workload_.consume_rate > 0 || workload_.standing > 0) {
    for (const auto& consumer : consumers_) next = std::min(next, consumer->pump(now_ns));
  }
  if (now_ns >= next_line_ns_) print_progress(now_ns);
  return next;
}

void LoadRun::print_progress(std::uint64_t now_ns) {
  const double seconds = seconds_between(next_line_ns_ - kSecondNs, now_ns);
  next_line_ns_ = now_ns + kSecondNs;
  const auto per_second = [&](std::uint64_t now, std::uint64_t before) {
    return format_figure(static_cast<double>(now - before) / seconds);
  };
  std::cerr << workload_.id << "  " << format_figure(seconds_between(started_ns_, now_ns))
            << " s  in " << per_second(meter_.published, shown_.published) << "/s  out "
            << per_second(meter_.delivered, shown_.delivered) << "/s";
  if (workload_.confirm_window != 0) {
    std::cerr << "  confirmed " << per_second(meter_.confirmed, shown_.confirmed)
              << "/s  unconfirmed " << unconfirmed();
  }
  if (const std::string reason = blocked(); !reason.empty()) std::cerr << "  blocked: " << reason;
  if (ledger_.violations().total() != 0) {
    std::cerr << "  VIOLATIONS " << ledger_.violations().total();
  }
  std::cerr << '\n';
  shown_.published = meter_.published;
  shown_.delivered = meter_.delivered;
  shown_.confirmed = meter_.confirmed;
}

// The broker's reason for taking nothing from publishers at present, or "".
std::string LoadRun::blocked() const {
  for (const auto& publisher : publishers_) {
    if (!publisher->connection().blocked().empty()) return publisher->connection().blocked();
  }
  return "";
}

std::uint64_t LoadRun::unconfirmed() const {
  std::uint64_t sum = 0;
  for (const auto& publisher : publishers_) sum += publisher->unconfirmed();
  return sum;
}

bool LoadRun::all_sent() const {
  return std::all_of(publishers_.begin(), publishers_.end(),
                     [](const auto& publisher) { return publisher->done(); });
}

void LoadRun::report_rates(std::uint64_t published, std::uint64_t confirmed,
                           std::uint64_t delivered, double seconds) {
  const auto rate = [&](const char* name, std::uint64_t count) {
    if (count != 0 && seconds > 0) result_.figures.set(name, static_cast<double>(count) / seconds);
  };
  rate("published_per_s", published);
  rate("confirmed_per_s", confirmed);
  rate("delivered_per_s", delivered);
  if (published == 0 || delivered == 0) return;
  // What could go on for ever: neither a queue that grows nor one that is emptied counts.
  rate("sustained_per_s", std::min(published, delivered / ledger_.copies()));
}

// Warm-up, then a window of fixed length. Counts are taken at its ends.
void LoadRun::measure_time() {
  const auto after = [&](double seconds) {
    const std::uint64_t end =
        loop_.turn_ns() + static_cast<std::uint64_t>(seconds * static_cast<double>(kSecondNs));
    phase_end_ns_ = end;
    loop_.run_until([&] { return loop_.turn_ns() >= end; }, workload_.stall_s, "publishing",
                    [&] { return progress(); });
    phase_end_ns_ = kNever;
  };
  start_publishers(kNever);
  loop_.touch();
  after(workload_.warmup_s);
  const Usage start = Usage::now(endpoint_.target.pid);
  const std::uint64_t published = meter_.published, confirmed = meter_.confirmed,
                      delivered = meter_.delivered;
  meter_.window_start_ns = start.at_ns;
  after(workload_.duration_s);
  const Usage end = Usage::now(endpoint_.target.pid);
  meter_.window_end_ns = end.at_ns;
  for (const auto& publisher : publishers_) publisher->stop();
  lift_limits();
  const double seconds = seconds_between(start.at_ns, end.at_ns);
  result_.figures.set("measured_s", seconds);
  report_rates(meter_.published - published, meter_.confirmed - confirmed,
               meter_.delivered - delivered, seconds);
  add_usage(start, end,
            {{"broker_cpu_s_per_million_published", meter_.published - published},
             {"broker_cpu_s_per_million_delivered", meter_.delivered - delivered}},
            result_.figures);
  add_memory(endpoint_.target.pid, "", result_.figures);
}

// A number of messages; each rate lasts until the last of its kind. A backlog is drained after
// that.
void LoadRun::measure_count() {
  const Usage start = Usage::now(endpoint_.target.pid);
  meter_.window_start_ns = start.at_ns;
  start_publishers(workload_.messages);
  loop_.run_until([&] { return all_sent(); }, workload_.stall_s, "publishing",
                  [&] { return progress(); });
  lift_limits();
  settle();
  const std::uint64_t last_in =
      workload_.confirm_window == 0 ? meter_.last_published_ns : meter_.last_confirmed_ns;
  const Usage end = Usage::now(endpoint_.target.pid);
  result_.figures.set("measured_s", seconds_between(start.at_ns, end.at_ns));
  report_rates(meter_.published, meter_.confirmed, 0, seconds_between(start.at_ns, last_in));
  if (!workload_.backlog) {
    report_rates(0, 0, meter_.delivered, seconds_between(start.at_ns, meter_.last_delivered_ns));
  }
  add_usage(start, end, {{"broker_cpu_s_per_million_published", meter_.published}},
            result_.figures);
  add_memory(endpoint_.target.pid, workload_.backlog ? "backlog_" : "", result_.figures);
  if (workload_.backlog) drain();
}

void LoadRun::drain() {
  const Usage start = Usage::now(endpoint_.target.pid);
  open_consumers();
  settle();
  const Usage end = Usage::now(endpoint_.target.pid);
  report_rates(0, 0, meter_.delivered, seconds_between(start.at_ns, meter_.last_delivered_ns));
  if (start.broker_cpu_s && end.broker_cpu_s && meter_.delivered != 0) {
    result_.figures.set(
        "broker_cpu_s_per_million_delivered",
        (*end.broker_cpu_s - *start.broker_cpu_s) * 1e6 / static_cast<double>(meter_.delivered));
  }
}

void LoadRun::note_missing() {
  Violations& violations = ledger_.violations();
  if (consuming_) ledger_.settle();
  if (const std::uint64_t open = unconfirmed(); open != 0) {
    violations.note(violations.refused, open,
                    std::to_string(open) + " messages were never confirmed");
  }
}

// What is still under way arrives, or is lost.
void LoadRun::settle() {
  try {
    loop_.run_until([&] { return all_settled(); }, workload_.settle_s, "the rest was to arrive",
                    [&] { return progress(); });
  } catch (const Stalled&) {
    note_missing();
    if (ledger_.violations().total() == 0) throw;  // it could not even be sent
  }
}

void LoadRun::settle_standing() {
  const std::uint64_t before = meter_.delivered;
  const std::uint64_t start = Loop::now_ns();
  settle();
  const double seconds = seconds_between(start, meter_.last_delivered_ns);
  if (seconds > 0) {
    result_.figures.set("drained_per_s", static_cast<double>(meter_.delivered - before) / seconds);
  }
}

void LoadRun::tear_down() {
  std::vector<Connection*> connections;
  for (const auto& publisher : publishers_) connections.push_back(&publisher->connection());
  for (const auto& consumer : consumers_) {
    consumer->acknowledge_all();
    consumer->connection().flush();
    connections.push_back(&consumer->connection());
  }
  close_all(loop_, connections, workload_.stall_s);
  const std::uint64_t left_over = workload_.keep ? 0 : setup_.remove();
  setup_.close();
  Violations& violations = ledger_.violations();
  if (workload_.consumers != 0 && !keeps_all(workload_) && left_over != 0 &&
      violations.total() == 0) {
    violations.note(violations.duplicates, left_over,
                    "the queues still held " + std::to_string(left_over) +
                        " messages when all had been received and acknowledged");
  }
}

void LoadRun::report() {
  Figures& figures = result_.figures;
  figures.set("published", static_cast<double>(meter_.published));
  figures.set("confirmed", static_cast<double>(meter_.confirmed));
  figures.set("delivered", static_cast<double>(meter_.delivered));
  add_latency("confirm", meter_.confirm_ns, figures);
  add_latency("delivery", meter_.delivery_ns, figures);
  add_latency("send_lag", meter_.lag_ns, figures);
  result_.violations = ledger_.violations();
}

void LoadRun::run() {
  setup_.open();
  result_.product = setup_.product();
  setup_.declare();
  if (!workload_.exchange_type.empty() && setup_.bind_seconds() > 0) {
    result_.figures.set("binds_per_s", setup_.bindings() / setup_.bind_seconds());
  }
  if (!workload_.backlog && workload_.standing == 0) open_consumers();
  open(publishers_, "starting the publishers");
  loop_.set_ticker(this);
  loop_.set_spin_ns(static_cast<std::uint64_t>(workload_.spin_us * 1000));
  try {
    if (workload_.pending != 0) put_pending();
    if (workload_.messages != 0) {
      measure_count();
    } else if (workload_.standing != 0) {
      fill();
      open_consumers();
      measure_time();
      settle_standing();
    } else {
      measure_time();
      settle();
    }
    loop_.set_ticker(nullptr);
    report();
  } catch (const Stalled& stalled) {
    if (ledger_.violations().total() == 0) note_missing();
    report();
    const std::string reason = blocked();
    if (reason.empty()) throw;
    throw Stalled(stalled.what() + ("; the broker has blocked its publishers: " + reason));
  } catch (const std::exception&) {
    report();  // what has been counted and violated by then
    throw;
  }
  tear_down();
  result_.violations = ledger_.violations();
}

}  // namespace

void run_load(Loop& loop, const Endpoint& endpoint, const Names& names, Result& result) {
  LoadRun(loop, endpoint, names, result).run();
}

}  // namespace harrier::bench
