// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/store_model.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <stdexcept>

namespace harrier::store_tests {
namespace {

using namespace harrier::persistence;

constexpr std::size_t kQueuesMax = 5;

std::uint64_t number(QueueId queue) { return static_cast<std::uint64_t>(queue); }

}  // namespace

protocol::MessagePtr make_message(std::string_view body, std::string_view routing_key,
                                  std::string_view exchange) {
  protocol::Properties properties;
  properties.delivery_mode = 2;
  return protocol::Message::create(exchange, routing_key, properties.encode(),
                                   protocol::as_bytes(body));
}

Enqueue enqueue(std::uint64_t queue, Seq seq, std::string_view body) {
  return {QueueId{queue}, seq, make_message(body), 1'700'000'000'000, std::nullopt};
}

Fetched fetch_page(MessageStore& store, QueueId queue, Seq from, std::size_t bytes_max) {
  // Shared, because the callback may still be inside set_value when the wait is over.
  const auto page = std::make_shared<std::promise<Fetched>>();
  store.fetch(queue, from, bytes_max,
              [page](Fetched fetched) { page->set_value(std::move(fetched)); });
  return page->get_future().get();
}

WriteBatch batch_of(std::vector<Record> records) {
  WriteBatch batch;
  for (Record& record : records) batch.add(std::move(record));
  return batch;
}

std::string to_text(const StoredMessage& message) {
  const protocol::Message& content = *message.message;
  std::string text = std::to_string(message.seq) + " x" + std::to_string(message.delivery_count) +
                     " @" + std::to_string(message.enqueued_at_ms);
  if (message.expires_at_ms) text += " <" + std::to_string(*message.expires_at_ms);
  text.append(" ").append(content.exchange()).append("/").append(content.routing_key());
  text.append(" ").append(protocol::as_text(content.property_bytes()));
  return text.append(" ").append(protocol::as_text(content.body()));
}

Contents contents_of(MessageStore& store, std::size_t head_bytes_max, std::size_t page_bytes_max) {
  Recovery recovery;
  recovery.head_bytes_max = head_bytes_max;
  if (const Status status = store.recover(recovery); !status.ok()) {
    throw std::runtime_error(status.error());
  }
  Contents contents;
  for (const Define& definition : recovery.definitions) {
    contents.definitions[{definition.kind, definition.vhost, definition.name}] = definition.value;
  }
  for (const RecoveredQueue& queue : recovery.queues) {
    contents.seq_max[number(queue.queue)] = queue.seq_max;
    std::vector<StoredMessage> messages = queue.head;
    std::optional<Seq> next = queue.next;
    while (next) {
      Fetched page = fetch_page(store, queue.queue, *next, page_bytes_max);
      // Or this would not end.
      if (page.messages.empty() || page.messages.front().seq < *next) {
        throw std::runtime_error("a page does not go on where the one before ended");
      }
      messages.insert(messages.end(), page.messages.begin(), page.messages.end());
      next = page.next;
    }
    std::uint64_t bytes = 0;
    std::vector<std::string>& texts = contents.queues[number(queue.queue)];
    for (const StoredMessage& message : messages) {
      bytes += content_size(*message.message);
      texts.push_back(to_text(message));
    }
    if (queue.messages != messages.size() || queue.bytes != bytes) {
      throw std::runtime_error("counters of queue " + std::to_string(number(queue.queue)));
    }
  }
  return contents;
}

Contents known_for_certain(Contents contents) {
  std::erase_if(contents.queues, [](const auto& queue) { return queue.second.empty(); });
  contents.seq_max.clear();
  for (const auto& [queue, messages] : contents.queues) contents.seq_max[queue] = 0;
  return contents;
}

std::string to_text(const Contents& contents) {
  std::string text;
  for (const auto& [key, value] : contents.definitions) {
    text += std::to_string(static_cast<int>(std::get<0>(key))) + " " + std::get<1>(key) + " " +
            std::get<2>(key) + " = " + std::string(value.begin(), value.end()) + "\n";
  }
  for (const auto& [queue, messages] : contents.queues) {
    text += "queue " + std::to_string(queue) + " up to " +
            std::to_string(contents.seq_max.at(queue)) + "\n";
    for (const std::string& message : messages) text += "  " + message + "\n";
  }
  return text;
}

void StoreModel::apply(const WriteBatch& batch) {
  for (const Record& record : batch.records()) {
    if (const auto* e = std::get_if<Enqueue>(&record)) {
      Queue& queue = queues_[number(e->queue)];
      queue.messages[e->seq] = {e->seq, e->message, e->enqueued_at_ms, e->expires_at_ms, 0};
      queue.seq_max = std::max(queue.seq_max, e->seq);
    } else if (const auto* s = std::get_if<Settle>(&record)) {
      if (queues_.count(number(s->queue)) != 0) queues_[number(s->queue)].messages.erase(s->seq);
    } else if (const auto* r = std::get_if<Requeue>(&record)) {
      if (queues_.count(number(r->queue)) == 0) continue;
      auto& messages = queues_[number(r->queue)].messages;
      if (messages.count(r->seq) != 0) messages[r->seq].delivery_count = r->delivery_count;
    } else if (const auto* d = std::get_if<DropQueue>(&record)) {
      queues_.erase(number(d->queue));
    } else if (const auto* p = std::get_if<Purge>(&record)) {
      if (queues_.count(number(p->queue)) == 0) continue;
      auto& messages = queues_[number(p->queue)].messages;
      messages.erase(messages.lower_bound(p->from), messages.upper_bound(p->up_to));
    } else if (const auto* define = std::get_if<Define>(&record)) {
      definitions_[{define->kind, define->vhost, define->name}] = define->value;
    } else if (const auto* forget = std::get_if<Forget>(&record)) {
      definitions_.erase({forget->kind, forget->vhost, forget->name});
    }
  }
}

Contents StoreModel::contents() const {
  Contents contents;
  contents.definitions = definitions_;
  for (const auto& [id, queue] : queues_) {
    contents.seq_max[id] = queue.seq_max;
    std::vector<std::string>& texts = contents.queues[id];
    for (const auto& [seq, message] : queue.messages) texts.push_back(to_text(message));
  }
  return contents;
}

WriteBatch BatchDice::roll() {
  WriteBatch batch;
  for (std::uint64_t left = below(12); left > 0; --left) batch.add(roll_record());
  return batch;
}

Record BatchDice::roll_record() {
  if (queues_.empty() || (queues_.size() < kQueuesMax && below(20) == 0)) {
    queues_.push_back(next_queue_++);
    next_seq_[queues_.back()] = 1;
  }
  const std::size_t slot = below(queues_.size());
  const QueueId queue{queues_[slot]};
  Seq& next_seq = next_seq_[queues_[slot]];
  const Seq known = 1 + below(next_seq);  // up to the next, which is not there yet
  const Kind kind = static_cast<Kind>(1 + below(static_cast<std::uint64_t>(kKindMax)));
  switch (below(24)) {
    case 0:
      return Define{kind, roll_text(1), roll_text(1), Bytes(below(9), 'v')};
    case 1:
      return Forget{kind, roll_text(1), roll_text(1)};
    case 2:
      return Purge{queue, below(2) == 0 ? 0 : known - below(known), known};
    case 3:
      if (below(4) != 0) break;
      queues_.erase(queues_.begin() + static_cast<std::ptrdiff_t>(slot));
      return DropQueue{queue};
    case 4:
    case 5:
    case 6:
      return Requeue{queue, known, static_cast<std::uint32_t>(below(9))};
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
      return Settle{queue, known};
    default:
      break;
  }
  Enqueue record{queue, next_seq, make_message(roll_text(40), roll_text(3)), 0, std::nullopt};
  next_seq += 1 + below(3);  // positions of transient messages are never seen here
  record.enqueued_at_ms = static_cast<std::int64_t>(below(1u << 30));
  if (below(2) == 0) record.expires_at_ms = static_cast<std::int64_t>(below(1u << 30));
  return record;
}

std::string BatchDice::roll_text(std::size_t size_max) {
  std::string text(below(size_max + 1), 'a');
  for (char& c : text) c = static_cast<char>('a' + below(3));
  return text;
}

}  // namespace harrier::store_tests
