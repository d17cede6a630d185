// SPDX-License-Identifier: Apache-2.0
#include "broker/server.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <future>
#include <latch>
#include <random>
#include <thread>

#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/recovery.hpp"
#include "broker/data_directory.hpp"
#include "broker/net/connection.hpp"
#include "broker/net/listener.hpp"
#include "broker/runtime/shard.hpp"
#include "broker/version.hpp"
#include "persistence/lmdb_store.hpp"
#include "persistence/memory_store.hpp"

namespace harrier::broker {

namespace {

// About what a store flushes inside commit().
constexpr std::size_t kKeptRecordsMax = 8;
// Of what is read at the start: large enough that asking costs nothing beside it.
constexpr std::size_t kRestorePageBytes = 256 * 1024;

// A message that comes back from a connection to its queue and dies of it takes two steps between
// shards; a step may need two rounds, because a turn sends its mail at its end.
constexpr int kMailRounds = 4;

constexpr std::string_view kShutdownReason =
    "broker forced connection closure with reason 'shutdown'";  // C-111

std::uint64_t machine_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGE_SIZE);
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

unsigned shard_count(const Config& config) {
  // The other half is for the store's threads and for the network's share of the kernel's work.
  const unsigned cores = std::thread::hardware_concurrency();
  const unsigned wanted = config.shards != 0 ? config.shards : cores / 2;
  return std::clamp(wanted, 1u, kShardsMax);
}

// With a single core whoever is waited for could not even run.
std::chrono::microseconds spin(const Config& config) {
  return std::chrono::microseconds(std::thread::hardware_concurrency() > 1 ? config.spin_us : 0);
}

// Bodies of a megabyte come and go: each would have its pages from the kernel anew, and zeroed.
// glibc finds such sizes out by itself, but then gives back what is free at the top at once.
void keep_some_freed_memory() {
  constexpr int kFromTheHeapBytes = 4 * 1024 * 1024;
  constexpr int kKeptBytes = 32 * 1024 * 1024;
  if (::mallopt(M_MMAP_THRESHOLD, kFromTheHeapBytes) != 1 ||
      ::mallopt(M_TRIM_THRESHOLD, kKeptBytes) != 1) {
    spdlog::debug("malloc takes no advice; large messages will cost more");
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

CoreOptions core_options(const Config& config) {
  CoreOptions options;
  options.shards = shard_count(config);
  options.vhosts = config.vhosts;
  options.loopback_users = config.auth.loopback_users;
  options.product = config.identity.product;
  options.version = config.identity.version;
  options.cluster_name = "harrier@" + host_name();
  for (const auto& [key, value] : config.identity.server_properties)
    options.server_properties.add(key, value);
  options.connections_max = config.limits.connections_max;
  options.channel_max = config.limits.channels_max;
  options.frame_max = config.limits.frame_max_bytes;
  options.handshake_frame_max = config.limits.handshake_frame_max_bytes;
  options.heartbeat_s = static_cast<std::uint16_t>(config.connection.heartbeat.count() / 1000);
  options.handshake_timeout_ms = config.connection.handshake_timeout.count();
  options.close_grace_ms = config.connection.close_timeout.count();
  options.message_size_max = config.limits.message_max_bytes;
  options.unsent.messages_max = config.consumer.unsent_max_messages;
  options.unsent.bytes_max = config.consumer.unsent_max_bytes;
  options.output_high_bytes = config.connection.write_buffer_high_bytes;
  options.shard_window_bytes = config.memory.shard_window_bytes;
  options.memory_limit_bytes = config.memory.limit.bytes_of(machine_memory_bytes());
  options.page_out_above_bytes = config.memory.page_out_above.bytes_of(options.memory_limit_bytes);
  options.queue_window_bytes = config.memory.queue_window_bytes;
  options.resident_bytes_max = config.memory.resident_bytes_max / options.shards;
  options.qos_updates_consumers =
      static_cast<QosUpdatesConsumers>(config.channel.qos_updates_consumers);
  return options;
}

void fill_randomly(std::span<std::uint8_t> bytes) {
  thread_local std::random_device device;  // the kernel's generator
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(device());
}

void log_line(int level, const std::string& line) {
  static constexpr std::array kLevels = {spdlog::level::debug, spdlog::level::info,
                                         spdlog::level::warn, spdlog::level::err};
  spdlog::log(kLevels[static_cast<std::size_t>(level)], "{}", line);
}

EngineWorld engine_world(const Config& config, std::function<std::uint32_t()> connection_count) {
  EngineWorld world;
  BuiltinUserSettings users;
  users.loopback_users = config.auth.loopback_users;
  world.authenticator = std::make_shared<BuiltinAuthenticator>(std::move(users));
  if (config.auth.anonymous_allowed()) {
    world.sasl.anonymous_login = Credentials{config.auth.anonymous_user, "guest"};
  } else {
    world.sasl.anonymous_login.reset();
  }
  world.random = fill_randomly;
  world.connection_count = std::move(connection_count);
  world.message_bytes = [] {
    return static_cast<std::uint64_t>(
        std::max<std::int64_t>(protocol::message_bytes_in_memory(), 0));
  };
  world.log = log_line;
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  world.unix_minus_monotonic_ms = duration_cast<milliseconds>(since_1970).count() - monotonic_ms();
  return world;
}

void set_log_level(LogLevel level) {
  static constexpr std::array kLevels = {spdlog::level::trace, spdlog::level::debug,
                                         spdlog::level::info,  spdlog::level::warn,
                                         spdlog::level::err,   spdlog::level::off};
  spdlog::set_level(kLevels[static_cast<std::size_t>(level)]);
}

}  // namespace

Server::Server(Config config) : config_(std::move(config)) {}

Server::~Server() = default;

ExitCode Server::run(Task task) {
  if (task == Task::CheckDefinitions) return check_definitions();
  if (task == Task::TellDefinitions) return tell_definitions();
  const auto started = std::chrono::steady_clock::now();
  data_ = std::make_unique<DataDirectory>(config_.data);
  keep_some_freed_memory();

  // Signals are blocked in every thread but this one, which waits for them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  DefinitionsPtr definitions;
  if (!config_.definitions.empty()) definitions = read_definitions_file();
  make_shards();
  open_store();
  restore();
  if (definitions) require_importable(*definitions);
  if (task == Task::Serve) open_listeners();
  begin_store();
  for (const auto& shard : shards_) shard->start();
  // Before the first client: it finds all of it.
  if (definitions) import(std::move(definitions));
  if (task == Task::ImportDefinitions) {
    shut_down();
    return ExitCode::Ok;
  }
  for (const auto& listener : listeners_) listener->start();

  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
  spdlog::info("{}, ready in {:.1f} ms", start_line(), took.count());  // whatever the level
  set_log_level(config_.log.level);

  wait_for_the_end();
  shut_down();
  return ExitCode::Ok;
}

void Server::wait_for_the_end() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  int received = SIGHUP;
  for (sigwait(&signals, &received); received == SIGHUP; sigwait(&signals, &received))
    import_again();
  spdlog::info("{} received: closing connections (again to stop at once)",
               received == SIGTERM ? "SIGTERM" : "SIGINT");
  std::signal(SIGTERM, [](int) { std::_Exit(static_cast<int>(ExitCode::Internal)); });
  std::signal(SIGINT, [](int) { std::_Exit(static_cast<int>(ExitCode::Internal)); });
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

// The shards are there by now: the store's threads may tell them.
void Server::open_store() {
  if (config_.store.level == StoreLevel::Memory || !data_) {
    store_ = std::make_unique<persistence::MemoryStore>();
    return;
  }
  persistence::StoreSettings settings;
  settings.directory = data_->path();
  settings.flush = config_.store.level == StoreLevel::Disk;
  settings.segment_bytes = config_.store.segment_bytes;
  settings.checkpoint_interval = config_.store.checkpoint_interval;
  settings.disk_free_min = config_.store.disk_free_min_bytes;
  settings.on_disk_full = [this](bool full, const std::string& text) {
    set_disk_alarm(full, text);
  };
  settings.on_failed = require_working;
  std::unique_ptr<persistence::LmdbStore> store;
  require_opened(persistence::LmdbStore::open_to_recover(settings, store));
  const persistence::Replay& replay = store->opened().replay;
  if (replay.torn) {
    spdlog::warn(
        "the journal ends in an entry that is not whole: {}; it was cut off while it was written, "
        "before anything in it was confirmed, unless the file was damaged since",
        *replay.torn);
  }
  durable_ = store.get();
  store_ = std::move(store);
}

void Server::require_opened(const persistence::Status& status) const {
  if (status.ok()) return;
  throw StartError(ExitCode::DataDirectory,
                   "cannot open the store in " + data_->path() + ": " + status.error() +
                       (status.is_full() ? "; make room on the disk" : ""));
}

void Server::begin_store() {
  if (durable_ != nullptr) require_opened(durable_->begin());
}

void Server::make_shards() {
  const CoreOptions options = core_options(config_);
  kept_.resize(options.shards);
  const auto count = [this] {
    std::size_t connections = 0;
    for (const auto& shard : shards_) connections += shard->connection_count();
    return static_cast<std::uint32_t>(connections);
  };
  for (unsigned id = 0; id < options.shards; ++id) {
    EngineWorld world = engine_world(config_, count);
    world.commit = [this, id](persistence::WriteBatch batch, std::uint64_t number) {
      commit(id, std::move(batch), number);
    };
    world.fetch = [this, id](StoreId part, const FetchRequest& request) {
      fetch(id, part, request);
    };
    world.page_out = [this, id](StoreId part, std::vector<persistence::StoredMessage> messages,
                                std::uint64_t token) {
      page_out(id, {part, token}, std::move(messages));
    };
    world.drop_paged = [this](StoreId part, Seq from, Seq up_to) {
      store_->drop_paged(part, from, up_to);
    };
    shards_.push_back(std::make_unique<Shard>(static_cast<ShardId>(id), options, std::move(world),
                                              spin(config_)));
    shards_.back()->set_after_turn([this, id] { commit_kept(id); });
  }
  std::vector<Shard*> all;
  for (const auto& shard : shards_) all.push_back(shard.get());
  for (const auto& shard : shards_) shard->connect(all);
}

// Before any thread and any listener, so that no client comes before what it knows is there.
void Server::restore() {
  persistence::Recovery recovery;
  recovery.head_bytes_max = 0;  // read when somebody wants it: the start is as fast as that
  const persistence::Status status = store_->recover(recovery);
  if (!status.ok()) {
    throw StartError(ExitCode::DataDirectory,
                     "cannot read the store in " + data_->path() + ": " + status.error());
  }
  const bool clean = recovery.clean;
  std::vector<Engine*> engines;
  for (const auto& shard : shards_) engines.push_back(&shard->engine());
  const RestoreResult result =
      broker::restore(engines, std::move(recovery), [this](StoreId part, Seq from) {
        std::promise<persistence::Fetched> page;
        store_->fetch(part, from, kRestorePageBytes,
                      [&page](persistence::Fetched read) { page.set_value(std::move(read)); });
        return page.get_future().get();
      });
  if (!result.errors.empty()) {
    std::string text = "cannot start with what " + data_->path() + " holds:";
    for (const std::string& error : result.errors) text += "\n  " + error;
    throw StartError(result.only_vhosts_missing ? ExitCode::Usage : ExitCode::DataDirectory, text);
  }
  if (!clean) spdlog::warn("the broker was not stopped in order: messages may be redelivered");
  if (result.counts.queues == 0) return;
  spdlog::info("recovered {} queues with {} messages and {} bindings", result.counts.queues,
               result.counts.messages, result.counts.bindings);
}

// A store that fails leaves nothing to confirm and nobody to serve: the process ends at once, so
// that no client is told anything that does not hold.
void Server::require_working(const persistence::Status& status) {
  if (status.ok()) return;
  spdlog::critical("the store has failed, stopping: {}", status.error());
  std::_Exit(static_cast<int>(ExitCode::Internal));
}

// A small batch may be flushed inside the call, which must not hold up what the turn has for the
// sockets; a large one is handed over at once, so that its flush runs beside that.
void Server::commit(std::size_t shard, persistence::WriteBatch batch, std::uint64_t number) {
  commit_kept(shard);
  if (batch.size() <= kKeptRecordsMax) {
    kept_[shard] = KeptBatch{std::move(batch), number};
  } else {
    hand_over(shard, std::move(batch), number);
  }
}

void Server::commit_kept(std::size_t shard) {
  if (!kept_[shard]) return;
  KeptBatch kept = std::move(*kept_[shard]);
  kept_[shard].reset();
  hand_over(shard, std::move(kept.batch), kept.number);
}

void Server::hand_over(std::size_t shard, persistence::WriteBatch batch, std::uint64_t number) {
  store_->commit(std::move(batch), [this, shard, number](const persistence::Status& status) {
    require_working(status);
    shards_[shard]->post({static_cast<ShardId>(shard), {Durable{number}}});
  });
}

void Server::fetch(std::size_t shard, StoreId part, const FetchRequest& request) {
  const auto answer = [this, shard, part, token = request.token](persistence::Fetched page) {
    require_working(page.status);
    Mailbox::Batch mail{static_cast<ShardId>(shard), {}};
    mail.messages.emplace_back(Fetched{part, token, std::move(page.messages), page.next});
    shards_[shard]->post(std::move(mail));
  };
  store_->fetch(part, request.from, request.bytes_max, answer);
}

void Server::page_out(std::size_t shard, const PagedOut& answer,
                      std::vector<persistence::StoredMessage> messages) {
  const auto done = [this, shard, answer](const persistence::Status& status) {
    require_working(status);
    shards_[shard]->post({static_cast<ShardId>(shard), {answer}});
  };
  store_->page_out(answer.part, std::move(messages), done);
}

void Server::set_disk_alarm(bool low, const std::string& cause) {
  shards_[kControlShard]->post({kControlShard, {DiskCrossed{low, cause}}});
}

void Server::open_listeners() {
  Shard& first = *shards_.front();
  for (const Endpoint& endpoint : config_.listen) {
    try {
      listeners_.push_back(std::make_unique<Listener>(
          first.context(), endpoint.host, endpoint.port,
          [this](int socket, asio::ip::tcp protocol) {
            const std::size_t limit = config_.limits.connections_max;
            std::size_t open = 0;
            for (const auto& shard : shards_) open += shard->connection_count();
            // A few more than the limit may get as far as being told so by connection.open.
            if (open > limit + limit / 16 + 16) {
              ::close(socket);
              return;
            }
            adopt(*shards_[next_shard_++ % shards_.size()], socket, protocol);
          }));
    } catch (const std::system_error& error) {
      throw StartError(ExitCode::Listen,
                       "cannot listen on " + to_string(endpoint) + ": " + error.code().message() +
                           "; is another broker running? choose another address with --listen");
    }
  }
}

std::string Server::start_line() const {
  std::string addresses;
  for (const auto& listener : listeners_) {
    const auto address = listener->address();
    const std::string host = address.address().is_v6() ? "[" + address.address().to_string() + "]"
                                                       : address.address().to_string();
    addresses += (addresses.empty() ? "" : ", ") + host + ":" + std::to_string(address.port());
  }
  return "Harrier " + std::string(kVersion) + " serves AMQP 0-9-1 on " + addresses + ", data in " +
         data_->path() + " (durability: " + std::string(name(config_.store.level)) + "), " +
         std::to_string(shards_.size()) + (shards_.size() == 1 ? " shard" : " shards");
}

void Server::shut_down() {
  asio::post(shards_.front()->context(), [this] {
    for (const auto& listener : listeners_) listener->stop();
  });
  std::latch quiet(static_cast<std::ptrdiff_t>(shards_.size()));
  for (const auto& shard : shards_) shard->stop_delivering([&quiet] { quiet.count_down(); });
  quiet.wait();
  std::latch closed(static_cast<std::ptrdiff_t>(shards_.size()));
  for (const auto& shard : shards_)
    shard->shut_down(std::string(kShutdownReason), [&closed] { closed.count_down(); });
  closed.wait();  // bounded: a client that does not answer connection.close loses its socket after
                  // the close timeout
  // What came back may have died of it, and be on its way from shard to shard as a dead letter.
  for (int round = 0; round < kMailRounds; ++round) {
    std::latch read(static_cast<std::ptrdiff_t>(shards_.size()));
    for (const auto& shard : shards_) shard->read_all([&read] { read.count_down(); });
    read.wait();
  }
  for (const auto& shard : shards_) shard->stop();
  for (const auto& shard : shards_) shard->join();
  listeners_.clear();
  // Every connection has been closed, so what was unacknowledged has returned to its queue, and the
  // store has been told. It ends when all of that is durable; a failure ends the process instead.
  store_.reset();
}

}  // namespace harrier::broker
