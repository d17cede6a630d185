// SPDX-License-Identifier: Apache-2.0
//
// Shard: one thread, one io_context, one engine, and the sockets of the engine's sessions.
// Everything in it belongs to its thread; other threads reach it through post() and adopt() only. A
// turn is: input from sockets and the mailbox, timers, then mailboxes of other shards, then sockets
// - in that order, which the core relies on.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "broker/core/engine.hpp"
#include "broker/runtime/link.hpp"
#include "broker/runtime/mailbox.hpp"
#include "broker/runtime/spin.hpp"

namespace harrier::broker {

class Shard {
 public:
  // `spin`: how long to look for work before sleeping; see Spin.
  Shard(ShardId id, CoreOptions options, EngineWorld world, std::chrono::microseconds spin);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Before start(): whom the outboxes go to.
  void connect(std::vector<Shard*> all) { all_ = std::move(all); }
  // Before start(): called on the shard's thread at the end of every turn, when the sockets have
  // what they take.
  void set_after_turn(std::function<void()> call) { after_turn_ = std::move(call); }
  void start();
  void join();

  // ---- from any thread ----
  void post(Mailbox::Batch batch);
  // Runs `open` on the shard's thread and keeps what it makes; null: the peer has gone already.
  void adopt(std::function<std::shared_ptr<Link>()> open);
  // Hands out no more messages; `done` is called on the shard's thread.
  void stop_delivering(std::function<void()> done);
  // Closes every connection with 320; `done` is called on the shard's thread once none is left.
  void shut_down(const std::string& reason, std::function<void()> done);
  // Does what the other shards have sent; `done` is called on the shard's thread before the end of
  // that turn.
  void read_all(std::function<void()> done);
  void stop();
  asio::io_context& context() { return context_; }
  std::size_t connection_count() const { return connection_count_.load(std::memory_order_relaxed); }

  // ---- from the shard's own thread ----
  Engine& engine() { return engine_; }
  std::span<std::uint8_t> read_buffer() { return *read_buffer_; }
  // Before anything from a socket is looked at: the clock, and what other shards have sent before
  // the client could act.
  void before_input();
  void note_work(std::size_t frames) { spin_.note_work(frames); }
  void forget(ConnectionId id);

 private:
  static constexpr std::size_t kReadBufferSize = 256 * 1024;
  // Bounds that keep one busy socket from starving the rest of the shard.
  static constexpr int kPassesPerTurn = 8;
  static constexpr std::chrono::microseconds kTurnBudget{500};

  void run();
  void wait_for_work();
  void turn();
  void read_mail();
  void send_outboxes();
  void arm_timer();

  asio::io_context context_{1};
  Engine engine_;
  Mailbox mailbox_;
  std::vector<Shard*> all_;
  std::unordered_map<ConnectionId, std::shared_ptr<Link>> links_;
  std::atomic<std::size_t> connection_count_{0};
  std::unique_ptr<std::array<std::uint8_t, kReadBufferSize>> read_buffer_;
  asio::steady_timer timer_;
  Millis armed_ = 0;
  Spin spin_;
  bool stopped_ = false;
  std::function<void()> when_empty_;
  std::function<void()> after_turn_;
  std::string shutdown_reason_;  // not empty: shutting down
  std::thread thread_;
};

Millis monotonic_ms();

}  // namespace harrier::broker
