// SPDX-License-Identifier: Apache-2.0
#include "broker/runtime/shard.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <asio/post.hpp>

namespace harrier::broker {

Millis monotonic_ms() {
  using std::chrono::duration_cast;
  return duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Shard::Shard(ShardId id, CoreOptions options, EngineWorld world, std::chrono::microseconds spin)
    : engine_(id, std::move(options), std::move(world)),
      read_buffer_(std::make_unique<std::array<std::uint8_t, kReadBufferSize>>()),
      timer_(context_),
      spin_(spin) {
  engine_.set_now(monotonic_ms());
}

Shard::~Shard() { join(); }

void Shard::start() {
  thread_ = std::thread([this] { run(); });
}

void Shard::join() {
  if (thread_.joinable()) thread_.join();
}

void Shard::post(Mailbox::Batch batch) {
  // The handler is empty: running any handler ends in a turn, and the turn reads the mail.
  if (mailbox_.push(std::move(batch))) asio::post(context_, [] {});
}

void Shard::adopt(std::function<std::shared_ptr<Link>()> open) {
  connection_count_.fetch_add(1, std::memory_order_relaxed);
  asio::post(context_, [this, open = std::move(open)] {
    before_input();
    std::shared_ptr<Link> link = open();
    if (!link) {
      connection_count_.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    links_.emplace(link->id(), link);
    link->start();
    if (shutdown_reason_.empty()) return;
    if (Session* late = engine_.find_session(link->id())) late->force_close(shutdown_reason_);
  });
}

void Shard::stop_delivering(std::function<void()> done) {
  asio::post(context_, [this, done = std::move(done)] {
    engine_.stop_delivering();
    done();
  });
}

void Shard::shut_down(const std::string& reason, std::function<void()> done) {
  asio::post(context_, [this, reason, done = std::move(done)]() mutable {
    before_input();
    when_empty_ = std::move(done);
    shutdown_reason_ = reason;
    engine_.shut_down(reason);
  });
}

void Shard::read_all(std::function<void()> done) {
  asio::post(context_, [this, done = std::move(done)] {
    before_input();
    done();
  });
}

void Shard::stop() {
  asio::post(context_, [this] { stopped_ = true; });
}

void Shard::run() {
  const auto work = asio::make_work_guard(context_);
  turn();  // what recovery has to say to the store
  while (!stopped_) {
    wait_for_work();
    const auto enough = std::chrono::steady_clock::now() + kTurnBudget;
    while (std::chrono::steady_clock::now() < enough && context_.poll_one() > 0) {
    }
    turn();
  }
  links_.clear();
}

// Runs the first handler that is ready.
void Shard::wait_for_work() {
  if (spin_.due()) {
    const auto now = std::chrono::steady_clock::now();
    const auto end = now + spin_.budget(now);
    bool found = false;
    do {
      found = context_.poll_one() > 0;
    } while (!found && std::chrono::steady_clock::now() < end);
    spin_.ended(found);
    if (found) return;
  }
  context_.run_one();
}

void Shard::before_input() {
  engine_.set_now(monotonic_ms());
  if (!mailbox_.empty()) read_mail();
}

void Shard::read_mail() {
  for (Mailbox::Batch& batch : mailbox_.take()) {
    note_work(batch.messages.size());
    for (ShardMessage& message : batch.messages) engine_.handle(std::move(message), batch.from);
  }
}

void Shard::turn() {
  before_input();
  engine_.tick();
  for (int pass = 0;; ++pass) {
    engine_.end_turn();
    send_outboxes();
    if (!engine_.has_dirty()) break;
    if (pass == kPassesPerTurn) {  // a socket that takes all we have must not starve the others
      asio::post(context_, [] {});
      break;
    }
    for (const ConnectionId id : engine_.take_dirty()) {
      const auto at = links_.find(id);
      if (at == links_.end()) continue;
      const std::shared_ptr<Link> link = at->second;
      link->flush();
    }
  }
  if (after_turn_) after_turn_();
  arm_timer();
  if (when_empty_ && links_.empty()) std::exchange(when_empty_, nullptr)();
}

// What creates queues goes into every mailbox before anything else does, so that no shard can see a
// topology, and send to a queue of it, before that queue's own shard knows it.
void Shard::send_outboxes() {
  for (const bool first : {true, false}) {
    for (Shard* other : all_) {
      Outbox& outbox = engine_.outbox(other->engine_.self());
      std::vector<ShardMessage>& messages = first ? outbox.first : outbox.rest;
      if (!messages.empty()) other->post({engine_.self(), std::exchange(messages, {})});
    }
  }
}

void Shard::arm_timer() {
  const Millis next = engine_.next_deadline();
  if (next == armed_) return;
  armed_ = next;
  if (next == std::numeric_limits<Millis>::max()) {
    timer_.cancel();
    return;
  }
  timer_.expires_after(std::chrono::milliseconds(std::max<Millis>(next - engine_.now(), 0)));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) armed_ = 0;  // the turn after this handler looks at what is due
  });
}

void Shard::forget(ConnectionId id) {
  engine_.forget(id);
  links_.erase(id);
  connection_count_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace harrier::broker
