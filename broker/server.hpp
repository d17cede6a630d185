// SPDX-License-Identifier: Apache-2.0
//
// Server: puts a broker together from its configuration, starts it, and stops it in order. Owned by
// main's thread, which waits in run(). Whatever keeps it from starting is a StartError with cause
// and remedy.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/cli/cli.hpp"
#include "broker/config.hpp"
#include "broker/core/backlog.hpp"
#include "broker/core/definitions_import.hpp"
#include "broker/core/shard_message.hpp"
#include "persistence/message_store.hpp"

namespace harrier::persistence {
class LmdbStore;
}

namespace harrier::broker {

class DataDirectory;
class Listener;
class Shard;

class Server {
 public:
  explicit Server(Config config);
  ~Server();

  // Serves until SIGTERM or SIGINT, then closes every connection with 320 and returns. A second
  // signal ends the process. SIGHUP imports the definitions again. Other tasks end by themselves.
  ExitCode run(Task task = Task::Serve);

  // From any thread, once the shards are made: publishers wait while the disk is short of space.
  void set_disk_alarm(bool low, const std::string& cause);

 private:
  // Waits for the end of its shard's turn.
  struct KeptBatch {
    persistence::WriteBatch batch;
    std::uint64_t number = 0;
  };

  void open_store();
  void make_shards();  // not yet their threads
  void restore();
  void open_listeners();
  void begin_store();  // nothing refuses the start any more
  void require_opened(const persistence::Status& status) const;
  static void require_working(const persistence::Status& status);
  // Each shard's, on its thread.
  void commit(std::size_t shard, persistence::WriteBatch batch, std::uint64_t number);
  void commit_kept(std::size_t shard);
  void hand_over(std::size_t shard, persistence::WriteBatch batch, std::uint64_t number);
  void fetch(std::size_t shard, StoreId part, const FetchRequest& request);
  void page_out(std::size_t shard, const PagedOut& answer,
                std::vector<persistence::StoredMessage> messages);
  std::string start_line() const;
  void wait_for_the_end();

  // server_definitions.cpp
  using DefinitionsPtr = std::shared_ptr<const Definitions>;
  DefinitionsPtr read_definitions_file() const;
  ExitCode check_definitions();
  ExitCode tell_definitions();
  void require_importable(const Definitions& definitions);  // before the shards' threads
  ImportReport import(DefinitionsPtr definitions);          // while they run
  void import_again();
  void shut_down();

  const Config config_;
  std::unique_ptr<DataDirectory> data_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::optional<KeptBatch>> kept_;  // one for each shard
  // Goes before the shards: until its end it tells them what has become durable.
  std::unique_ptr<persistence::MessageStore> store_;
  persistence::LmdbStore* durable_ = nullptr;  // store_, if it is one of these
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::size_t next_shard_ = 0;
};

}  // namespace harrier::broker
