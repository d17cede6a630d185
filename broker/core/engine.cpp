// SPDX-License-Identifier: Apache-2.0
#include "broker/core/engine.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "broker/core/control.hpp"

namespace harrier::broker {

namespace {

constexpr Millis kMemoryCheckMs = 10;
constexpr std::size_t kNameBytes = 16;  // 128 bits make 22 characters

// Each shard's own, so that shards do not choose in step.
std::uint64_t routing_seed(const EngineWorld& world) {
  std::array<std::uint8_t, 8> bytes{};
  world.random(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

}  // namespace

Engine::Engine(ShardId self, CoreOptions options, EngineWorld world)
    : self_(self),
      options_(std::move(options)),
      world_(std::move(world)),
      authenticator_(world_.authenticator),
      router_(routing_seed(world_)),
      outboxes_(options_.shards),
      in_flight_to_(options_.shards, 0),
      processed_for_(options_.shards, 0) {
  residents_.window_bytes = options_.queue_window_bytes;
  residents_.bytes_max = options_.resident_bytes_max;
  const routing::TopologyPtr empty = routing::Registry().snapshot();
  for (const std::string& name : options_.vhosts) {
    set_vhost({name, empty, std::make_shared<const VhostProfile>()});
  }
  if (self_ == kControlShard) control_ = std::make_unique<Control>(*this);
}

Engine::~Engine() {
  sessions_.clear();  // they take their deadlines with them
}

// ---- connections ----

Session& Engine::open_connection(const Peer& peer) {
  const ConnectionId id{next_connection_++ * options_.shards + self_};
  return *sessions_.emplace(id, std::make_unique<Session>(id, peer, *this)).first->second;
}

Session* Engine::find_session(ConnectionId id) {
  const auto at = sessions_.find(id);
  return at == sessions_.end() ? nullptr : at->second.get();
}

void Engine::forget(ConnectionId id) {
  window_waiters_.erase(id);
  sessions_.erase(id);
}

void Engine::mark_dirty(Session& session) {
  if (session.list_as_dirty()) dirty_.push_back(session.id());
}

std::vector<ConnectionId> Engine::take_dirty() {
  std::vector<ConnectionId> taken = std::exchange(dirty_, {});
  for (const ConnectionId id : taken) {
    if (Session* session = find_session(id)) session->unlist_as_dirty();
  }
  return taken;
}

void Engine::schedule(ConnectionId id, Millis old_deadline, Millis deadline) {
  if (old_deadline != 0) deadlines_.erase({old_deadline, id});
  if (deadline != 0) deadlines_.emplace(deadline, id);
}

Millis Engine::next_deadline() const {
  Millis next = deadlines_.empty() ? std::numeric_limits<Millis>::max() : deadlines_.begin()->first;
  if (!queue_alarms_.empty())
    next = std::min(next, queue_alarms_.begin()->first - world_.unix_minus_monotonic_ms);
  // While it lasts, an alarm has to be looked after; otherwise only traffic can raise one.
  if (control_ && alarm_.memory) next = std::min(next, next_memory_check_);
  return next;
}

void Engine::tick() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const ConnectionId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (Session* session = find_session(id)) session->on_deadline();
  }
  if (!queue_alarms_.empty()) wake_queues();
}

void Engine::shut_down(const std::string& reason) {
  std::vector<ConnectionId> ids;
  for (const auto& [id, session] : sessions_) ids.push_back(id);
  for (const ConnectionId id : ids) {
    if (Session* session = find_session(id)) session->force_close(reason);
  }
}

VhostView* Engine::find_vhost(const std::string& name) {
  const auto at = vhosts_.find(name);
  return at == vhosts_.end() ? nullptr : at->second.get();
}

void Engine::set_vhost(VhostView view) {
  std::unique_ptr<VhostView>& known = vhosts_[view.name];
  if (known) {
    *known = std::move(view);
  } else {
    known = std::make_unique<VhostView>(std::move(view));
  }
}

void Engine::set_authenticator(AuthenticatorPtr authenticator) {
  authenticator_ = std::move(authenticator);
  for (const auto& [id, session] : sessions_) session->on_new_users();
}

std::string Engine::random_name(std::string_view prefix) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<std::uint8_t, kNameBytes> bytes{};
  world_.random(bytes);
  std::string name(prefix);
  std::uint32_t bits = 0;
  int held = 0;
  for (const std::uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 6; held -= 6) name += kAlphabet[bits >> (held - 6) & 63];
  }
  name += kAlphabet[bits << (6 - held) & 63];
  return name;
}

EngineInfo Engine::info() const {
  EngineInfo info;
  info.connections = sessions_.size();
  for (const auto& [id, session] : sessions_) info.channels += session->channel_count();
  info.queues = queues_.size();
  info.resident_bytes = residents_.bytes;
  return info;
}

std::vector<QueueInfo> Engine::queue_infos() const {
  std::vector<QueueInfo> infos;
  for (const auto& [id, queue] : queues_) infos.push_back(queue->info());
  return infos;
}

// ---- sending ----

void Engine::handle(ShardMessage message, ShardId from) {
  std::visit([&](auto& m) { on(m, from); }, message);
}

void Engine::send(ShardId to, ShardMessage message) {
  if (to == self_) {
    handle(std::move(message), self_);
  } else {
    outboxes_[to].rest.push_back(std::move(message));
  }
}

void Engine::send_first(ShardId to, ShardMessage message) {
  if (to == self_) {
    handle(std::move(message), self_);
  } else {
    outboxes_[to].first.push_back(std::move(message));
  }
}

void Engine::send_to_queue(QueueId queue, ShardMessage message) {
  send(shard_of(queue, options_.shards), std::move(message));
}

void Engine::send_to_connection(ConnectionId connection, ShardMessage message) {
  send(shard_of(connection, options_.shards), std::move(message));
}

void Engine::publish(Publish publish) {
  const ShardId to = shard_of(publish.queue, options_.shards);
  if (to == self_) {
    on(publish, self_);
    return;
  }
  in_flight_to_[to] += publish.message->footprint();
  outboxes_[to].rest.emplace_back(std::move(publish));
}

void Engine::settle(const Settle& settle) {
  const ShardId to = shard_of(settle.queue, options_.shards);
  if (to != self_) {
    outboxes_[to].rest.emplace_back(settle);
  } else if (Queue* queue = find_queue(settle.queue)) {
    queue->settle(settle, *this);
    if (!dead_letters_.empty()) send_dead_letters();
  }
}

void Engine::deliver(Delivery delivery) {
  const ShardId to = shard_of(delivery.consumer.channel.connection, options_.shards);
  if (to == self_) {
    on(delivery, self_);
  } else {
    outboxes_[to].rest.emplace_back(std::move(delivery));
  }
}

void Engine::reply(const ReplyTo& to, decltype(Reply::result) result) {
  if (to.token != 0) send_to_connection(to.connection, Reply{to, std::move(result)});
}

bool Engine::congested(ShardId to) const { return in_flight_to_[to] > options_.shard_window_bytes; }

// ---- the end of a turn ----

void Engine::end_turn() {
  do {
    for (const Grant& grant : std::exchange(deferred_, {})) send_to_queue(grant.queue, grant);
    for (Publish& copy : std::exchange(deferred_copies_, {})) publish(std::move(copy));
    for (const ConnectionId id : std::exchange(may_publish_, {})) {
      if (Session* session = find_session(id)) session->publish_held();
    }
    if (!dead_letters_.empty()) send_dead_letters();
    if (has_history()) send_history();
    if (control_) control_->end_turn();
  } while (!deferred_.empty() || !deferred_copies_.empty() || !may_publish_.empty() ||
           !dead_letters_.empty() || has_history());
  if (dead_letter_shards_ != 0) join_dead_letters();
  if (!late_writers_.empty()) write_late();
  if (!batch_.empty()) commit_batch();
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    if (Session* session = find_session(dirty_[i])) session->end_turn();
  }
  for (unsigned shard = 0; shard < options_.shards; ++shard) {
    if (processed_for_[shard] == 0) continue;
    outboxes_[shard].rest.emplace_back(Processed{self_, std::exchange(processed_for_[shard], 0)});
  }
  released_ = 0;
  if (residents_.needs_relief()) relieve_residents();
  if (now_ >= next_memory_check_) check_memory();
}

void Engine::write_late() {
  for (const QueueId id : std::exchange(late_writers_, {})) {
    if (Queue* queue = find_queue(id)) queue->write_late(*this);
  }
}

void Engine::commit_batch() {
  persistence::WriteBatch batch = std::exchange(batch_, {});
  ++committed_;
  if (world_.commit) {
    world_.commit(std::move(batch), committed_);
  } else {
    send(self_, Durable{committed_});
  }
}

// An alarm ends below three quarters of the limit, or it would come and go with every message.
bool Engine::memory_is_high() const {
  const std::uint64_t limit = options_.memory_limit_bytes;
  return world_.message_bytes() > (alarm_.memory ? limit - limit / 4 : limit);
}

// Every shard looks, because the one that fills the memory may be the only one awake; the control
// shard decides, so that an alarm has one beginning and one end.
void Engine::check_memory() {
  next_memory_check_ = now_ + kMemoryCheckMs;
  page_out_unstored();
  if (options_.memory_limit_bytes == 0) return;
  if (memory_is_high() != alarm_.memory) send(kControlShard, MemoryCrossed{});
}

void Engine::decide_memory_alarm() {
  const std::uint64_t used = world_.message_bytes();
  const bool high = memory_is_high();
  if (high == alarm_.memory) return;
  log(2, high ? "memory alarm: messages hold " + std::to_string(used) + " bytes, the limit is " +
                    std::to_string(options_.memory_limit_bytes) + "; publishers are blocked"
              : "memory alarm is over; publishers go on");
  tell_all(Alarm{high, alarm_.disk});
}

// From the control shard, whose own copy is the one that decides.
void Engine::tell_all(const Alarm& alarm) {
  for (unsigned shard = 0; shard < options_.shards; ++shard)
    send(static_cast<ShardId>(shard), alarm);
}

}  // namespace harrier::broker
