// SPDX-License-Identifier: Apache-2.0
//
// Vault: the store of a simulated broker. Batches wait in line, one line per shard, until the world
// makes the oldest of a line durable; only then does a MemoryStore get it, so that what that holds
// is what a crash would leave. What queues page out waits too and goes to a store of its own, which
// a crash would empty; so do fetches. It knows which persistent messages still
// wait, and with them which confirms would be lies.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/shard_message.hpp"
#include "persistence/memory_store.hpp"
#include "tests/simulation/dice.hpp"

namespace harrier::simulation {

class Vault {
 public:
  explicit Vault(unsigned shards) : lines_(shards) {}

  void commit(broker::ShardId shard, persistence::WriteBatch batch, std::uint64_t number);
  void page_out(broker::ShardId shard, broker::PagedOut answer,
                std::vector<persistence::StoredMessage> messages);
  void drop_paged(broker::StoreId part, persistence::Seq from, persistence::Seq up_to);
  void fetch(broker::ShardId shard, broker::StoreId part, const broker::FetchRequest& request);
  // Does the oldest thing that the shard has asked for, a fetch or a page-out; nullopt if none
  // waits.
  std::optional<broker::ShardMessage> answer_next(broker::ShardId shard);
  bool idle(broker::ShardId shard) const {
    return lines_[shard].waiting.empty() && lines_[shard].asked.empty();
  }
  struct Written {
    broker::ShardId shard = 0;
    std::uint64_t number = 0;
  };
  // Makes the shard's oldest batch durable, together with what transactions tie to it; nothing if
  // none waits, or a part of such a transaction is still to come.
  std::vector<Written> write_next(broker::ShardId shard);
  // The process has ended: of each line some batches had got as far as the disk, the dice say how
  // many, and no transaction is torn. The next process has that many shards.
  void crash(Dice& dice, unsigned shards);

  // A client has read a confirm (or a commit-ok) of a message that at least `copies` stored queues
  // must have got.
  void confirmed(std::uint64_t message, std::size_t copies);
  // Some queue's, at some time.
  bool stored(std::uint64_t message) const {
    const auto at = messages_.find(message);
    return at != messages_.end() && at->second.durable > 0;
  }
  bool defines_queue(const std::string& name);
  persistence::Recovery recover(std::size_t head_bytes_max = std::size_t{1} << 60);
  persistence::Fetched read(persistence::QueueId queue, persistence::Seq from,
                            std::size_t bytes_max);
  std::uint64_t stored_count() const { return stored_; }
  std::uint64_t fetch_count() const { return fetches_; }
  std::uint64_t paged_out_count() const { return paged_out_; }
  // Every message that was paged out has been dropped again.
  bool nothing_paged_out();

 private:
  struct PageOut {
    broker::PagedOut answer;
    std::vector<persistence::StoredMessage> messages;
  };
  struct Read {
    broker::StoreId part{};
    broker::FetchRequest request;
  };
  struct Line {
    std::deque<persistence::WriteBatch> waiting;
    std::deque<std::variant<Read, PageOut>> asked;
    std::uint64_t committed = 0;
    std::uint64_t written = 0;
  };
  struct Copies {
    std::size_t waiting = 0;
    std::size_t durable = 0;
    bool confirmed = false;
  };

  broker::ShardMessage answer(Read asked);
  broker::ShardMessage answer(PageOut page_out);
  using Counts = std::vector<std::size_t>;  // of batches from the front, by line
  // The least that is not less than `counts` and tears no transaction; nullopt if there is none.
  std::optional<Counts> whole(Counts counts) const;
  void write_front(broker::ShardId shard);

  persistence::MemoryStore store_;
  persistence::MemoryStore paged_;
  std::set<persistence::QueueId> paging_;  // queues that have ever paged out
  std::uint64_t fetches_ = 0;
  std::uint64_t paged_out_ = 0;
  std::vector<Line> lines_;
  std::map<std::uint64_t, Copies> messages_;
  std::set<persistence::QueueId> defined_;  // queues whose definition has ever been durable
  std::uint64_t stored_ = 0;
};

}  // namespace harrier::simulation
