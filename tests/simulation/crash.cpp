// SPDX-License-Identifier: Apache-2.0
//
// A crash of the simulated broker: what is lost with the process, how the next one starts, and what
// the ledger then knows and demands. No confirmed message is lost, nothing that a commit-ok has
// settled comes back, transient things are gone, a transaction survives whole or not at all, and
// whatever comes back may have been delivered before.
#include <algorithm>
#include <utility>

#include "broker/core/recovery.hpp"
#include "tests/simulation/ledger.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

// ---- the store ----

void Vault::crash(Dice& dice, unsigned shards) {
  std::vector<std::size_t> survive;
  for (const Line& line : lines_) survive.push_back(dice.below(line.waiting.size() + 1));
  const auto first_torn = [&]() -> std::optional<std::uint64_t> {
    std::map<std::uint64_t, std::uint32_t> missing;
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      for (std::size_t at = 0; at < survive[line]; ++at) {
        for (const auto& part : lines_[line].waiting[at].joined())
          --missing.try_emplace(part.transaction, part.parts).first->second;
      }
    }
    for (const auto& [transaction, parts] : missing) {
      if (parts > 0) return transaction;
    }
    return std::nullopt;
  };
  while (const auto torn = first_torn()) {
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      const auto& waiting = lines_[line].waiting;
      const auto at = std::ranges::find_if(waiting, [&](const persistence::WriteBatch& batch) {
        return std::ranges::find(batch.joined(), *torn,
                                 &persistence::TransactionPart::transaction) !=
               batch.joined().end();
      });
      survive[line] = std::min(survive[line], static_cast<std::size_t>(at - waiting.begin()));
    }
  }
  for (std::size_t line = 0; line < survive.size(); ++line) {
    for (; survive[line] > 0; --survive[line]) write_front(static_cast<broker::ShardId>(line));
  }
  lines_.clear();
  lines_.resize(shards);
  persistence::Recovery nothing;
  require(paged_.recover(nothing).ok(), "what was paged out does not go");
  paging_.clear();
  for (auto& [message, copies] : messages_) copies.waiting = 0;
}

// ---- the process ----

void World::crash(unsigned shards) {
  for (const Shard& shard : shards_) {
    for (const LinkPtr& link : shard.links) {
      link->session = nullptr;
      link->cut = link->closed = link->told = true;
    }
  }
  shards_.clear();
  vault_.crash(dice_, shards);
  start_engines(shards);
  persistence::Recovery recovery = vault_.recover(0);  // as a server asks
  recovery.clean = false;
  std::vector<broker::Engine*> engines;
  for (const Shard& shard : shards_) engines.push_back(shard.engine.get());
  const broker::RestoreResult result = broker::restore(
      engines, std::move(recovery),
      [this](broker::StoreId part, broker::Seq from) { return vault_.read(part, from, 1'000); });
  for (const std::string& error : result.errors) throw Violation("after a crash: " + error);
}

// ---- what the clients know ----

Ledger::CommitNumber Ledger::commit_asked(std::vector<std::uint64_t> messages,
                                          std::vector<Copy*> settled) {
  commits_[++last_commit_] = {std::move(messages), std::move(settled)};
  return last_commit_;
}

void Ledger::commit_answered(CommitNumber commit) {
  for (Copy* copy : commits_.at(commit).settled) copy->settled_durably = true;
  commits_.erase(commit);
}

// A crash must not take it once it is confirmed, and nothing but a settlement does.
bool Ledger::is_kept(const Copy& copy) const {
  const QueueState& queue = queues_[copy.queue];
  return queue.kind == QueueKind::Strict && queue.durable && messages_[copy.message].persistent;
}

void Ledger::check_whole(const Commit& commit, const Survivors& survivors) const {
  std::string done;
  std::string undone;
  for (const std::uint64_t message : commit.messages) {
    for (const QueueNumber queue : messages_[message].queues) {
      const Copy& copy = copies_.at({message, queue});
      if (!is_kept(copy) || copy.seen) continue;  // somebody may have settled what was seen
      (survivors.contains({message, queue}) ? done : undone) += text_of(copy) + " published; ";
    }
  }
  for (const Copy* copy : commit.settled) {
    if (!is_kept(*copy) || !messages_[copy->message].confirmed) continue;
    const bool there = survivors.contains({copy->message, copy->queue});
    (there ? undone : done) += text_of(*copy) + " settled; ";
  }
  require(done.empty() || undone.empty(),
          "a crash tore a transaction: " + done + "but not " + undone);
}

void Ledger::crash_copy(Copy& copy, bool is_there) {
  Published& published = messages_[copy.message];
  const std::string text = text_of(copy);
  if (is_there) {
    require(!copy.past, text + " is back from before an earlier crash");
    require(!copy.settled_durably, text + " is back after a commit that settled it");
  } else if (is_kept(copy) && !copy.past && published.confirmed) {
    require(copy.settled != Copy::Settled::No, text + " was confirmed and lost by a crash");
  }
  copy.holder = copy.settler = 0;
  copy.survived = is_there;
  copy.past = !is_there;
  copy.settled = is_there ? Copy::Settled::No : Copy::Settled::Certain;
}

void Ledger::crash_queue(QueueState& queue, const std::vector<broker::QueueInfo>& infos) {
  const auto info = std::ranges::find(infos, queue.name, &broker::QueueInfo::name);
  const bool is_there = info != infos.end();
  queue.purged = queue.purges_open = 0;
  queue.published_before = is_there ? info->messages_published - info->messages_ready : 0;
  if (queue.kind == QueueKind::Exclusive) {
    require(!is_there, "the exclusive queue " + queue.name + " is back");  // C-215
  } else if (queue.kind != QueueKind::Volatile) {
    require(is_there == queue.durable,
            queue.name + (is_there ? " is back, but transient" : " was declared and is lost"));
    const bool is_shared =
        std::ranges::find(shared_queues(), queue.name, &SharedQueue::name) != shared_queues().end();
    if (is_there || is_shared) return;  // declared again
    queue.kind = QueueKind::Exclusive;  // nobody's any more
    queue.gone = true;
  }
}

// What the broker had read of settlements and deliveries need not have reached the disk.
void Ledger::doubt(Copy& copy) const {
  copy.survived = true;
  if (copy.past || copy.settled != Copy::Settled::Certain) return;
  copy.settled = Copy::Settled::Doubtful;
  if (copy.settler == 0) copy.settler = messages_[copy.message].channel;  // as dead as any
}

void Ledger::crashed(const std::map<std::string, std::vector<Stored>>& stored,
                     const std::vector<broker::QueueInfo>& infos) {
  crashing_ = false;
  for (auto& [key, copy] : copies_) doubt(copy);
  Survivors survivors;
  for (QueueNumber number = 0; number < queues_.size(); ++number) {
    const auto found = stored.find(queues_[number].name);
    if (found == stored.end()) continue;
    check_stored(found->first, found->second);
    for (const Stored& each : found->second) survivors.insert({each.message, number});
  }
  for (const auto& [number, commit] : commits_) check_whole(commit, survivors);
  commits_.clear();
  for (auto& [key, copy] : copies_) crash_copy(copy, survivors.contains(key));
  for (const auto& [message, queue] : survivors) messages_[message].confirmed = true;
  for (QueueState& queue : queues_) crash_queue(queue, infos);
}

}  // namespace harrier::simulation
