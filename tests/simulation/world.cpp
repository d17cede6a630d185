// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/auth/builtin_authenticator.hpp"
#include "tests/simulation/ledger.hpp"

namespace harrier::simulation {

using broker::CoreOptions;
using broker::EngineWorld;
using broker::ShardId;

namespace {

constexpr std::size_t kRoundsMax = 20'000;
constexpr std::size_t kEverything = ~std::size_t{0};

// Small limits, so that every kind of waiting happens all the time.
CoreOptions small_options(Dice& dice, unsigned shards) {
  CoreOptions options;
  options.shards = shards;
  options.frame_max = 4'096;
  options.heartbeat_s = 0;
  options.handshake_timeout_ms = 3'600'000;  // a slow pipe is not what is looked for here
  options.unsent = {8, 4'096};
  options.output_high_bytes = 8 * 1'024;
  options.shard_window_bytes = 16 * 1'024;
  options.page_out_above_bytes = 1;
  // From one message, over a few, to more than there ever are.
  options.queue_window_bytes = dice.chance(10) ? 1'000'000 : dice.between(1, 2'000);
  options.resident_bytes_max = dice.chance(30) ? 1'000'000 : dice.between(0, 4'000);
  return options;
}

}  // namespace

World::World(Dice& dice, unsigned shards) : dice_(dice), vault_(shards) {
  memory_percent_ = dice_.chance(30) ? 0 : dice_.between(1, 100);
  start_engines(shards);
  settle([] {});  // the first topology
}

void World::start_engines(unsigned shards) {
  options_ = small_options(dice_, shards);
  const auto authenticator = std::make_shared<broker::BuiltinAuthenticator>();
  for (unsigned i = 0; i < shards; ++i) {
    EngineWorld outside;
    outside.authenticator = authenticator;
    outside.random = [this](std::span<std::uint8_t> bytes) {
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(dice_.below(256));
    };
    outside.connection_count = [] { return 1u; };
    outside.message_bytes = [this] {
      return std::uint64_t{dice_.chance(memory_percent_) ? 2u : 0u};
    };
    outside.commit = [this, i](persistence::WriteBatch batch, std::uint64_t number) {
      vault_.commit(static_cast<ShardId>(i), std::move(batch), number);
    };
    outside.fetch = [this, i](broker::StoreId part, const broker::FetchRequest& request) {
      vault_.fetch(static_cast<ShardId>(i), part, request);
    };
    outside.page_out = [this, i](broker::StoreId part,
                                 std::vector<persistence::StoredMessage> messages,
                                 std::uint64_t token) {
      vault_.page_out(static_cast<ShardId>(i), {part, token}, std::move(messages));
    };
    outside.drop_paged = [this](broker::StoreId part, broker::Seq from, broker::Seq up_to) {
      vault_.drop_paged(part, from, up_to);
    };
    outside.log = [](int level, const std::string& line) {
      require(level < 3, "the broker logged an error: " + line);
    };
    Shard& shard = shards_.emplace_back();
    shard.store_percent = dice_.chance(50) ? dice_.between(1, 4) : dice_.between(5, 60);
    shard.fetch_percent = dice_.chance(50) ? dice_.between(1, 4) : dice_.between(5, 60);
    shard.engine =
        std::make_unique<broker::Engine>(static_cast<ShardId>(i), options_, std::move(outside));
    shard.engine->set_now(now_);
  }
}

LinkPtr World::connect() {
  Shard& shard = shards_[dice_.below(shards_.size())];
  while (shard.finishing) step(shard);  // a busy thread accepts nothing
  read_mail(shard, kEverything);
  broker::Session& session = shard.engine->open_connection({"127.0.0.1", 5000, "127.0.0.1", 5672});
  auto link = std::make_shared<Link>();
  link->id = session.id();
  link->session = &session;
  shard.links.push_back(link);
  return link;
}

void World::step() {
  if (dice_.chance(20)) now_ += static_cast<broker::Millis>(dice_.below(10));
  Shard& storing = shards_[dice_.below(shards_.size())];
  if (dice_.chance(storing.store_percent)) make_durable(storing);
  if (dice_.chance(storing.fetch_percent)) fetch(storing);
  step(shards_[dice_.below(shards_.size())]);
}

bool World::make_durable(Shard& shard) {
  const auto written = vault_.write_next(shard.engine->self());
  for (const Vault::Written& each : written)
    shards_[each.shard].mailbox.push_back({each.shard, {broker::Durable{each.number}}});
  return !written.empty();
}

bool World::fetch(Shard& shard) {
  const ShardId self = shard.engine->self();
  std::optional<broker::ShardMessage> answer = vault_.answer_next(self);
  if (!answer) return false;
  Batch& batch = shard.mailbox.emplace_back();
  batch.from = self;
  batch.messages.push_back(std::move(*answer));
  return true;
}

void World::step(Shard& shard) {
  if (shard.finishing) {
    finish(shard);
    return;
  }
  shard.engine->set_now(now_);
  Link* link = shard.links.empty() ? nullptr : shard.links[dice_.below(shard.links.size())].get();
  switch (dice_.below(6)) {
    case 0:
      read_mail(shard, dice_.between(1, 3));
      return;
    case 1:
    case 2:
      if (link != nullptr) read_some(shard, *link, dice_.between(1, dice_.chance(50) ? 40 : 4'000));
      return;
    case 3:
      if (link != nullptr) {
        read_mail(shard, kEverything);
        flush(shard, *link, dice_.between(1, 3'000));
      }
      return;
    default:
      end_turn(shard);
  }
}

void World::read_mail(Shard& shard, std::size_t batches) {
  for (; batches > 0 && !shard.mailbox.empty(); --batches) {
    Batch batch = std::move(shard.mailbox.front());
    shard.mailbox.pop_front();
    for (auto& message : batch.messages) shard.engine->handle(std::move(message), batch.from);
  }
}

void World::read_some(Shard& shard, Link& link, std::size_t size) {
  if (link.session == nullptr) return;
  read_mail(shard, kEverything);
  notice_cut(shard, link);
  if (link.told || !link.session->wants_input() || link.to_broker.empty()) return;
  const auto end =
      link.to_broker.begin() + static_cast<std::ptrdiff_t>(std::min(size, link.to_broker.size()));
  link.pending.insert(link.pending.end(), link.to_broker.begin(), end);
  link.to_broker.erase(link.to_broker.begin(), end);
  link.session->heard();
  feed(link);
}

void World::feed(Link& link) {
  // A copy of exactly these bytes: reading past them is visible to the address sanitizer.
  const Bytes input = link.pending;
  const std::size_t used = link.session->receive(input);
  require(used <= input.size(), "a session used more bytes than it was given");
  link.pending.erase(link.pending.begin(),
                     link.pending.begin() + static_cast<std::ptrdiff_t>(used));
}

void World::notice_cut(Shard&, Link& link) {
  if (!link.cut || std::exchange(link.told, true)) return;
  link.session->peer_gone();
}

// Collects the outboxes in the order in which a shard pushes them.
void World::end_turn(Shard& shard) {
  shard.engine->tick();
  shard.engine->end_turn();
  for (const bool first : {true, false}) {
    for (unsigned to = 0; to < shards_.size(); ++to) {
      broker::Outbox& outbox = shard.engine->outbox(static_cast<ShardId>(to));
      auto& messages = first ? outbox.first : outbox.rest;
      if (messages.empty()) continue;
      const ShardId from = shard.engine->self();
      shard.outgoing.push_back({static_cast<ShardId>(to), {from, std::exchange(messages, {})}});
    }
  }
  shard.finishing = true;
}

void World::finish(Shard& shard) {
  if (!shard.outgoing.empty()) {
    Push push = std::move(shard.outgoing.front());
    shard.outgoing.pop_front();
    shards_[push.to].mailbox.push_back(std::move(push.batch));
    return;
  }
  flush_dirty(shard);
}

void World::flush_dirty(Shard& shard) {
  const std::vector<broker::ConnectionId> dirty = shard.engine->take_dirty();
  if (dirty.empty()) {
    shard.finishing = false;
    return;
  }
  for (const broker::ConnectionId id : dirty) {
    const auto at =
        std::ranges::find(shard.links, id, [](const LinkPtr& link) { return link->id; });
    if (at == shard.links.end()) continue;
    const LinkPtr link = *at;
    flush(shard, *link, slow_writes_ && dice_.chance(60) ? dice_.below(500) : kEverything);
  }
  end_turn(shard);
}

// What a connection's flush() does, with a kernel that takes `size` bytes.
void World::flush(Shard& shard, Link& link, std::size_t size) {
  if (link.session == nullptr) return;
  notice_cut(shard, link);
  broker::Session& session = *link.session;
  if (!link.told) {
    while (size > 0 && !session.output().empty()) {
      std::array<protocol::ByteView, 4> slices;
      require(session.output().gather(slices) > 0, "an output buffer with bytes has no slices");
      const std::size_t taken = std::min(size, slices[0].size());
      link.to_client.insert(link.to_client.end(), slices[0].begin(),
                            slices[0].begin() + static_cast<std::ptrdiff_t>(taken));
      session.output().consume(taken);
      size -= taken;
    }
    session.flushed();
  }
  if (session.finished()) {
    link.session = nullptr;
    const broker::ConnectionId id = link.id;  // erasing may end the link's life
    shard.engine->forget(id);
    std::erase_if(shard.links, [&](const LinkPtr& other) { return other->id == id; });
    return;
  }
  if (link.told) return;
  if (session.wants_close()) {
    link.closed = link.told = true;
    session.peer_gone();
    return;
  }
  if (session.wants_input() && !link.pending.empty()) feed(link);
}

void World::round(Shard& shard) {
  shard.engine->set_now(now_);
  while (shard.finishing) finish(shard);
  while (make_durable(shard)) continue;
  while (fetch(shard)) continue;
  read_mail(shard, kEverything);
  const std::vector<LinkPtr> links = shard.links;
  for (const LinkPtr& link : links) {
    read_some(shard, *link, kEverything);
    flush(shard, *link, kEverything);
  }
  end_turn(shard);
  while (shard.finishing) finish(shard);
}

bool World::at_rest() const {
  for (const Shard& shard : shards_) {
    if (!shard.mailbox.empty() || shard.finishing) return false;
    if (!vault_.idle(shard.engine->self())) return false;
    for (const LinkPtr& link : shard.links) {
      if (link->cut || link->closed) return false;  // the session is still to go
      if (!link->to_broker.empty() || !link->to_client.empty()) return false;
      if (!link->session->output().empty() || !link->session->wants_input()) return false;
    }
  }
  return true;
}

void World::settle(const std::function<void()>& pump) {
  slow_writes_ = false;
  std::size_t rounds = 0;
  do {
    require(++rounds < kRoundsMax, "the broker does not come to rest");
    for (Shard& shard : shards_) round(shard);
    pump();
  } while (!at_rest());
  slow_writes_ = true;
}

std::vector<broker::QueueInfo> World::queues() const {
  std::vector<broker::QueueInfo> all;
  for (const Shard& shard : shards_) {
    for (auto& info : shard.engine->queue_infos()) all.push_back(std::move(info));
  }
  return all;
}

bool World::has_queue(const std::string& name) const {
  const auto infos = queues();
  return std::ranges::find(infos, name, &broker::QueueInfo::name) != infos.end();
}

routing::TopologyPtr World::topology() {
  const auto& first = shards_.front().engine->find_vhost("/")->topology;
  for (Shard& shard : shards_) {
    require(shard.engine->find_vhost("/")->topology->version() == first->version(),
            "shards know different definitions");
  }
  return first;
}

std::size_t World::sessions() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) count += shard.engine->info().connections;
  return count;
}

// While everything is at rest.
void World::check_memory(bool relieved) const {
  // A page may go one window beyond, and to the end of a message; the tail has half of one.
  constexpr std::uint64_t kLargestMessage = 9'300;
  const std::uint64_t queue_max = options_.queue_window_bytes * 7 / 2 + 2 * kLargestMessage;
  // It reads on when what it has must wait; see Queue::looks_ahead.
  const std::uint64_t ahead_max =
      std::max<std::uint64_t>(1'024 * 1'024, 16 * options_.queue_window_bytes) + 128 * 1'024;
  for (const Shard& shard : shards_) {
    std::uint64_t resident = 0;
    bool idle = relieved;
    for (const broker::QueueInfo& info : shard.engine->queue_infos()) {
      resident += info.resident_bytes;
      idle = idle && info.consumers == 0;
      require(info.resident_bytes <= queue_max + (info.name == kGroups ? ahead_max : 0),
              info.name + " keeps " + std::to_string(info.resident_bytes) + " bytes in memory");
      require(info.messages_paged <= info.messages_ready, info.name + " has lost count");
    }
    require(resident == shard.engine->info().resident_bytes, "a shard's sum is not its queues'");
    require(!idle || resident <= options_.resident_bytes_max,
            "idle queues keep " + std::to_string(resident) + " bytes in memory");
  }
}

}  // namespace harrier::simulation
