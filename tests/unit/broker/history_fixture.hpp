// SPDX-License-Identifier: Apache-2.0
//
// HistoryFixture: a whole broker of several shards over a store, stepped in an order that a seed
// decides, also between two pushes of one turn: shards fall behind each other as threads do. What a
// shard has committed is in the store when the step comes that makes it durable; a crash loses the
// rest. Messages have no body: their routing key, which no fanout looks at, tells them apart.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/engine.hpp"
#include "broker/core/recovery.hpp"
#include "persistence/memory_store.hpp"
#include "routing/router.hpp"

namespace harrier::broker {

class HistoryFixture : public testing::Test {
 protected:
  using Bytes = std::vector<std::uint8_t>;
  using Texts = std::vector<std::string>;

  // One connection. A turn of its shard takes one of what it has to say.
  struct Client {
    Session* session = nullptr;
    std::deque<Bytes> unsent{};
    Texts said{};  // names of the methods that came back
    Texts got{};   // messages, by basic.get
  };

  // All is as new, and goes as this seed says.
  void start_anew(std::uint64_t seed, unsigned shards) {
    shards_.clear();
    clients_.clear();
    store_ = std::make_unique<persistence::MemoryStore>();
    dice_.seed(seed);
    start(shards);
  }

  // As after a crash: only what is durable is there.
  void start(unsigned shards) {
    shards_.clear();
    clients_.clear();
    for (unsigned id = 0; id < shards; ++id) add_shard(static_cast<ShardId>(id), shards);
    persistence::Recovery recovery;
    ASSERT_TRUE(store_->recover(recovery).ok());
    recovery.clean = false;
    std::vector<Engine*> engines;
    for (const auto& shard : shards_) engines.push_back(shard->engine.get());
    const auto read_part = [this](StoreId part, Seq from) { return read(part, from, kAll); };
    const RestoreResult result = restore(engines, std::move(recovery), read_part);
    for (const std::string& error : result.errors) ADD_FAILURE() << error;
    drain();
  }

  Client& open(ShardId shard) {
    Client& client = clients_.emplace_back(Client{
        &shards_[shard]->engine->open_connection({"127.0.0.1", 1, "127.0.0.1", 2}), {}, {}, {}});
    protocol::ConnectionStartOk start;
    start.response = std::string_view("\0guest\0guest", 12);
    protocol::ConnectionTuneOk tune;
    tune.channel_max = 10;
    tune.frame_max = 4'096;
    const auto header = protocol::kProtocolHeader;
    client.unsent.emplace_back(header.begin(), header.end());
    say(client, start, 0);
    say(client, tune, 0);
    say(client, protocol::ConnectionOpen{}, 0);
    say(client, protocol::ChannelOpen{});
    drain();
    EXPECT_EQ(client.said.back(), "channel.open-ok");
    return client;
  }

  template <class M>
  static void say(Client& client, const M& method, std::uint16_t channel = 1) {
    Bytes& bytes = client.unsent.emplace_back(protocol::frame_size(method));
    protocol::encode_frame(channel, method, bytes.data());
  }

  static void publish(Client& client, std::string_view exchange, const std::string& key,
                      bool persistent = true, std::string message_id = "") {
    protocol::BasicPublish method;
    method.exchange = exchange;
    method.routing_key = key;
    protocol::Properties properties;
    properties.delivery_mode = static_cast<std::uint8_t>(persistent ? 2 : 1);
    if (!message_id.empty()) properties.message_id = std::move(message_id);
    const Bytes encoded = properties.encode();
    const std::size_t size = protocol::kContentHeaderSize + encoded.size();
    say(client, method);
    Bytes& bytes = client.unsent.back();
    const std::size_t at = bytes.size();
    bytes.resize(at + protocol::kFrameOverhead + size);
    auto* to = protocol::put_frame_header(bytes.data() + at, protocol::FrameType::Header, 1, size);
    to = protocol::put_content_header(to, protocol::BasicPublish::kId.class_id, 0);
    protocol::put_u8(protocol::put_raw(to, encoded), protocol::kFrameEnd);
  }

  static void declare_exchange(Client& client, std::string_view name, std::string_view type,
                               std::int64_t length = 0, bool durable = true) {
    protocol::Table arguments;
    if (length != 0) arguments.add_int64("x-recent-history-length", length);
    protocol::ExchangeDeclare method;
    method.exchange = name;
    method.type = type;
    method.durable = durable;
    method.arguments = arguments.view();
    say(client, method);
  }
  static void declare_queue(Client& client, std::string_view name,
                            const protocol::Table& arguments = {}) {
    protocol::QueueDeclare method;
    method.queue = name;
    method.durable = true;
    method.arguments = arguments.view();
    say(client, method);
  }
  static void bind(Client& client, std::string_view queue, std::string_view exchange = "history") {
    protocol::QueueBind method;
    method.queue = queue;
    method.exchange = exchange;
    say(client, method);
  }
  static void unbind(Client& client, std::string_view queue) {
    protocol::QueueUnbind method;
    method.queue = queue;
    method.exchange = "history";
    say(client, method);
  }
  static void delete_history(Client& client) {
    protocol::ExchangeDelete method;
    method.exchange = "history";
    say(client, method);
  }
  static void bind_exchange(Client& client, std::string_view destination) {
    protocol::ExchangeBind method;
    method.destination = destination;
    method.source = "history";
    say(client, method);
  }

  // All that is ready in the queue, in its order.
  Texts take_all(std::string_view queue) {
    Client& client = open(0);
    protocol::BasicGet get;
    get.queue = queue;
    get.no_ack = true;
    while (client.said.back() != "basic.get-empty") {
      say(client, get);
      drain();
      if (client.said.back().starts_with("basic.get")) continue;
      ADD_FAILURE() << client.said.back();
      break;
    }
    return client.got;
  }
  // What came back, of those names that end with this.
  static std::size_t count_said(const Client& client, std::string_view end) {
    return static_cast<std::size_t>(std::ranges::count_if(
        client.said, [&](const std::string& name) { return name.ends_with(end); }));
  }

  std::optional<QueueInfo> find(std::string_view name) const {
    for (const auto& shard : shards_) {
      for (QueueInfo& info : shard->engine->queue_infos()) {
        if (info.name == name) return std::move(info);
      }
    }
    return std::nullopt;
  }
  std::uint64_t kept() const { return find("amq.history.history")->messages_ready; }

  bool has_binding(std::string_view queue, std::string_view exchange = "history") const {
    routing::Router router;
    const routing::TopologyPtr topology = shards_[0]->engine->find_vhost("/")->topology;
    routing::RouteRequest request;
    request.exchange = topology->find_exchange(exchange);
    std::vector<QueueId> found;
    if (request.exchange != nullptr) router.route(*topology, request, found);
    return std::ranges::any_of(found,
                               [&](QueueId id) { return topology->find_queue(id)->name == queue; });
  }

  void tell_control(ShardMessage message) {
    shards_[0]->mail.push_back({0, {}});
    shards_[0]->mail.back().messages.push_back(std::move(message));
    drain();
  }

  // One thing happens, if there is any.
  bool step() {
    ++now_;
    std::vector<std::pair<Shard*, void (HistoryFixture::*)(Shard&)>> possible;
    for (const auto& shard : shards_) {
      Shard& each = *shard;
      if (!each.pushes.empty()) {
        possible.emplace_back(&each, &HistoryFixture::push);
      } else if (!each.mail.empty() || each.engine->next_deadline() <= now_ || has_input(each)) {
        possible.emplace_back(&each, &HistoryFixture::turn);
      }
      if (!each.batches.empty()) possible.emplace_back(&each, &HistoryFixture::make_durable);
      if (!each.answers.empty()) possible.emplace_back(&each, &HistoryFixture::answer);
    }
    if (possible.empty()) return false;
    const auto [shard, action] = possible[dice_() % possible.size()];
    (this->*action)(*shard);
    return true;
  }
  void drain() {
    int steps = 0;
    while (step()) ASSERT_LT(++steps, 1'000'000) << "it never rests";
  }
  std::size_t below(std::size_t bound) { return dice_() % bound; }

  CoreOptions options_;
  std::mt19937_64 dice_{1};
  std::unique_ptr<persistence::MemoryStore> store_ = std::make_unique<persistence::MemoryStore>();
  std::uint64_t message_bytes_ = 0;  // in memory, as the broker sees it

 private:
  static constexpr std::size_t kAll = ~std::size_t{0};

  struct Mail {
    ShardId from = 0;
    std::vector<ShardMessage> messages;
  };
  struct Shard {
    std::unique_ptr<Engine> engine;
    std::deque<Mail> mail;
    std::deque<std::pair<ShardId, Mail>> pushes;  // of its last turn, into other mailboxes
    std::deque<std::pair<std::uint64_t, persistence::WriteBatch>> batches;  // not durable yet
    std::deque<ShardMessage> answers;                                       // of the store
  };

  void add_shard(ShardId id, unsigned shards) {
    shards_.push_back(std::make_unique<Shard>());
    Shard& shard = *shards_.back();
    EngineWorld world;
    world.authenticator = std::make_shared<BuiltinAuthenticator>();
    world.random = [this](std::span<std::uint8_t> bytes) {
      for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(dice_());
    };
    world.connection_count = [] { return 1u; };
    world.message_bytes = [this] { return message_bytes_; };
    world.commit = [&shard](persistence::WriteBatch batch, std::uint64_t number) {
      shard.batches.emplace_back(number, std::move(batch));
    };
    world.fetch = [this, &shard](StoreId part, const FetchRequest& request) {
      persistence::Fetched page = read(part, request.from, request.bytes_max);
      shard.answers.emplace_back(Fetched{part, request.token, std::move(page.messages), page.next});
    };
    world.page_out = [this, &shard](StoreId part, std::vector<persistence::StoredMessage> messages,
                                    std::uint64_t token) {
      store_->page_out(part, std::move(messages), [](const persistence::Status&) {});
      shard.answers.emplace_back(PagedOut{part, token});
    };
    world.drop_paged = [this](StoreId part, Seq from, Seq up_to) {
      store_->drop_paged(part, from, up_to);
    };
    world.log = [](int level, const std::string& line) { EXPECT_LT(level, 3) << line; };
    CoreOptions options = options_;
    options.shards = shards;
    shard.engine = std::make_unique<Engine>(id, options, std::move(world));
    shard.engine->set_now(now_);
  }

  persistence::Fetched read(StoreId part, Seq from, std::size_t bytes_max) {
    persistence::Fetched page;
    store_->fetch(part, from, bytes_max,
                  [&](persistence::Fetched fetched) { page = std::move(fetched); });
    return page;
  }

  bool belongs(const Client& client, const Shard& shard) const {
    return client.session != nullptr &&
           shard_of(client.session->id(), static_cast<unsigned>(shards_.size())) ==
               shard.engine->self();
  }
  bool has_input(const Shard& shard) const {
    return std::ranges::any_of(clients_, [&](const Client& client) {
      return !client.unsent.empty() && belongs(client, shard) && !client.session->parked();
    });
  }

  void turn(Shard& shard) {
    Engine& engine = *shard.engine;
    engine.set_now(now_);
    for (Mail& mail : std::exchange(shard.mail, {})) {
      for (ShardMessage& message : mail.messages) engine.handle(std::move(message), mail.from);
    }
    engine.tick();
    for (Client& client : clients_) {
      if (!client.unsent.empty() && belongs(client, shard)) offer(client);
    }
    engine.end_turn();
    for (auto lane : {&Outbox::first, &Outbox::rest}) {
      for (ShardId to = 0; to < shards_.size(); ++to) {
        auto messages = std::exchange(engine.outbox(to).*lane, {});
        if (!messages.empty())
          shard.pushes.emplace_back(to, Mail{engine.self(), std::move(messages)});
      }
    }
    for (Client& client : clients_) {
      if (belongs(client, shard)) listen(client);
    }
  }

  static void offer(Client& client) {
    Bytes& bytes = client.unsent.front();
    const std::size_t used = client.session->receive(bytes);
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(used));
    if (bytes.empty()) client.unsent.pop_front();
  }

  static void listen(Client& client) {
    Bytes bytes;
    while (!client.session->output().empty()) {
      std::array<protocol::ByteView, 1> slice;
      client.session->output().gather(slice);
      bytes.insert(bytes.end(), slice[0].begin(), slice[0].end());
      client.session->output().consume(slice[0].size());
    }
    protocol::ByteView rest = bytes;
    while (!rest.empty()) {
      const auto result = protocol::read_frame(rest, 0);
      ASSERT_EQ(result.status, protocol::FrameStatus::Complete);
      rest = rest.subspan(result.size);
      if (result.frame.type != static_cast<std::uint8_t>(protocol::FrameType::Method)) continue;
      const auto id = protocol::peek_method(result.frame.payload);
      client.said.emplace_back(protocol::name_of(id.value_or(protocol::MethodId{})));
      protocol::BasicGetOk got;
      if (protocol::decode_as(result.frame.payload, got) == protocol::DecodeStatus::Ok)
        client.got.emplace_back(got.routing_key);
    }
  }

  void push(Shard& shard) {
    auto [to, mail] = std::move(shard.pushes.front());
    shard.pushes.pop_front();
    shards_[to]->mail.push_back(std::move(mail));
  }
  void make_durable(Shard& shard) {
    auto [number, batch] = std::move(shard.batches.front());
    shard.batches.pop_front();
    store_->commit(std::move(batch), [](const persistence::Status&) {});
    shard.mail.push_back({shard.engine->self(), {}});
    shard.mail.back().messages.emplace_back(Durable{number});
  }
  void answer(Shard& shard) {
    shard.mail.push_back({shard.engine->self(), {}});
    shard.mail.back().messages.push_back(std::move(shard.answers.front()));
    shard.answers.pop_front();
  }

  Millis now_ = 1'000;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::deque<Client> clients_;
};

}  // namespace harrier::broker
