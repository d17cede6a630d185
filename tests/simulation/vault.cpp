// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/vault.hpp"

#include <algorithm>
#include <utility>

#include "persistence/definitions.hpp"
#include "tests/simulation/ledger.hpp"

namespace harrier::simulation {

using persistence::Enqueue;

namespace {

persistence::QueueId owner_of(broker::StoreId part) {
  return persistence::QueueId{static_cast<std::uint64_t>(broker::queue_of(part))};
}

template <class Visit>
void for_each_enqueue(const persistence::WriteBatch& batch, Visit&& visit) {
  for (const persistence::Record& record : batch.records()) {
    const auto* enqueue = std::get_if<Enqueue>(&record);
    if (enqueue == nullptr) continue;
    const broker::QueuePart part = broker::part_of(enqueue->queue);
    const bool is_cancel = part == broker::QueuePart::Delayed && enqueue->message->body().empty();
    if (part != broker::QueuePart::Dedup && !is_cancel)
      visit(Ledger::read_body(enqueue->message->body()), owner_of(enqueue->queue));
  }
}

}  // namespace

void Vault::commit(broker::ShardId shard, persistence::WriteBatch batch, std::uint64_t number) {
  Line& line = lines_[shard];
  require(number == ++line.committed, "write batches are not consecutive");
  require(!batch.empty(), "an empty write batch");
  for_each_enqueue(batch, [this](std::uint64_t message, persistence::QueueId queue) {
    require(defined_.contains(queue), "message " + std::to_string(message) +
                                          " is in a durable queue that a crash would forget");
    Copies& copies = messages_[message];
    require(!copies.confirmed,
            "message " + std::to_string(message) + " was confirmed before it went to the store");
    ++copies.waiting;
  });
  line.waiting.push_back(std::move(batch));
}

std::optional<Vault::Counts> Vault::whole(Counts counts) const {
  for (;;) {
    std::map<std::uint64_t, std::uint32_t> missing;  // parts, by transaction
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      for (std::size_t at = 0; at < counts[line]; ++at) {
        for (const auto& part : lines_[line].waiting[at].joined())
          --missing.try_emplace(part.transaction, part.parts).first->second;
      }
    }
    std::erase_if(missing, [](const auto& entry) { return entry.second == 0; });
    if (missing.empty()) return counts;
    const std::uint64_t transaction = missing.begin()->first;
    bool found = false;
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      const auto& waiting = lines_[line].waiting;
      for (std::size_t at = counts[line]; at < waiting.size(); ++at) {
        if (std::ranges::find(waiting[at].joined(), transaction,
                              &persistence::TransactionPart::transaction) ==
            waiting[at].joined().end())
          continue;
        counts[line] = at + 1;
        found = true;
      }
    }
    if (!found) return std::nullopt;
  }
}

std::vector<Vault::Written> Vault::write_next(broker::ShardId shard) {
  std::vector<Written> written;
  if (lines_[shard].waiting.empty()) return written;
  Counts wanted(lines_.size(), 0);
  wanted[shard] = 1;
  const auto counts = whole(std::move(wanted));
  if (!counts) return written;
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    const auto id = static_cast<broker::ShardId>(line);
    for (std::size_t left = (*counts)[line]; left > 0; --left) write_front(id);
    if ((*counts)[line] > 0) written.push_back({id, lines_[line].written});
  }
  return written;
}

void Vault::write_front(broker::ShardId shard) {
  Line& line = lines_[shard];
  persistence::WriteBatch batch = std::move(line.waiting.front());
  line.waiting.pop_front();
  ++line.written;
  for_each_enqueue(batch, [this](std::uint64_t message, persistence::QueueId) {
    --messages_[message].waiting;
    ++messages_[message].durable;
    ++stored_;
  });
  for (const persistence::Record& record : batch.records()) {
    const auto* define = std::get_if<persistence::Define>(&record);
    if (define == nullptr || define->kind != persistence::Kind::Queue) continue;
    const auto queue = persistence::decode_queue(define->value);
    require(queue.has_value(), "the definition of queue " + define->name + " cannot be read");
    defined_.insert(queue->id);
  }
  // By way of its bytes, as a journal would.
  auto decoded = persistence::decode(persistence::encode(batch));
  require(decoded && decoded->records() == batch.records(),
          "a write batch does not survive its encoding");
  store_.commit(std::move(*decoded), [](const persistence::Status&) {});
}

void Vault::page_out(broker::ShardId shard, broker::PagedOut answer,
                     std::vector<persistence::StoredMessage> messages) {
  require(!messages.empty(), "an empty piece was paged out");
  paged_out_ += messages.size();
  lines_[shard].asked.push_back(PageOut{answer, std::move(messages)});
}

broker::ShardMessage Vault::answer(PageOut page_out) {
  const broker::StoreId queue = page_out.answer.part;
  paging_.insert(queue);
  paged_.page_out(queue, std::move(page_out.messages), [](const persistence::Status&) {});
  return page_out.answer;
}

void Vault::drop_paged(broker::StoreId part, persistence::Seq from, persistence::Seq up_to) {
  paged_.drop_paged(part, from, up_to);
}

void Vault::fetch(broker::ShardId shard, broker::StoreId part,
                  const broker::FetchRequest& request) {
  ++fetches_;
  lines_[shard].asked.push_back(Read{part, request});
}

std::optional<broker::ShardMessage> Vault::answer_next(broker::ShardId shard) {
  Line& line = lines_[shard];
  if (line.asked.empty()) return std::nullopt;
  auto oldest = std::move(line.asked.front());
  line.asked.pop_front();
  return std::visit([this](auto& what) { return answer(std::move(what)); }, oldest);
}

broker::ShardMessage Vault::answer(Read asked) {
  const auto& [part, request] = asked;
  persistence::Fetched page = read(part, request.from, request.bytes_max);
  return broker::Fetched{part, request.token, std::move(page.messages), page.next};
}

persistence::Fetched Vault::read(persistence::QueueId queue, persistence::Seq from,
                                 std::size_t bytes_max) {
  persistence::Fetched durable;
  persistence::Fetched paged;
  store_.fetch(queue, from, bytes_max,
               [&](persistence::Fetched page) { durable = std::move(page); });
  paged_.fetch(queue, from, bytes_max, [&](persistence::Fetched page) { paged = std::move(page); });
  return persistence::merge(std::move(durable), std::move(paged), bytes_max);
}

bool Vault::nothing_paged_out() {
  bool nothing = true;
  for (const persistence::QueueId queue : paging_) {
    paged_.fetch(queue, 0, 1, [&](const persistence::Fetched& page) {
      nothing = nothing && page.messages.empty();
    });
  }
  return nothing;
}

void Vault::confirmed(std::uint64_t message, std::size_t copies) {
  Copies& known = messages_[message];
  const std::string text = "message " + std::to_string(message) + " was confirmed, but ";
  require(known.waiting == 0, text + "is not durable yet");
  require(known.durable >= copies, text + "was not stored by each of its queues");
  known.confirmed = true;
}

bool Vault::defines_queue(const std::string& name) {
  const auto definitions = recover().definitions;
  return std::ranges::any_of(definitions, [&](const persistence::Define& definition) {
    return definition.kind == persistence::Kind::Queue && definition.name == name;
  });
}

persistence::Recovery Vault::recover(std::size_t head_bytes_max) {
  persistence::Recovery recovery;
  recovery.head_bytes_max = head_bytes_max;
  require(store_.recover(recovery).ok(), "the store does not recover");
  return recovery;
}

}  // namespace harrier::simulation
