// SPDX-License-Identifier: Apache-2.0
//
// StoreModel: what a store must hold after some batches, written as plainly as possible; and the
// dice that make batches. Seeded: the same seed gives the same batches everywhere. Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "persistence/message_store.hpp"

namespace harrier::store_tests {

protocol::MessagePtr make_message(std::string_view body, std::string_view routing_key = "key",
                                  std::string_view exchange = "amq.direct");
persistence::Enqueue enqueue(std::uint64_t queue, persistence::Seq seq, std::string_view body);
// Of several records, for tests that write them down.
persistence::WriteBatch batch_of(std::vector<persistence::Record> records);

// fetch(), waited for.
persistence::Fetched fetch_page(persistence::MessageStore& store, persistence::QueueId queue,
                                persistence::Seq from, std::size_t bytes_max);

// As text, what differs shows in a failed expectation.
std::string to_text(const persistence::StoredMessage& message);

// Everything that a store holds, comparable. Reads all queues through recover() with heads of
// `head_bytes_max`, and the rest through fetch() in pages of `page_bytes_max`.
struct Contents {
  std::map<std::tuple<persistence::Kind, std::string, std::string>, persistence::Bytes> definitions;
  std::map<std::uint64_t, std::vector<std::string>> queues;  // each message as text, in order
  std::map<std::uint64_t, persistence::Seq> seq_max;
  friend bool operator==(const Contents&, const Contents&) = default;
};
Contents contents_of(persistence::MessageStore& store, std::size_t head_bytes_max,
                     std::size_t page_bytes_max);
std::string to_text(const Contents& contents);
// Without what a store may forget: messages that came and went unseen, and queues with no other.
Contents known_for_certain(Contents contents);

class StoreModel {
 public:
  void apply(const persistence::WriteBatch& batch);
  Contents contents() const;

 private:
  struct Queue {
    std::map<persistence::Seq, persistence::StoredMessage> messages;
    persistence::Seq seq_max = 0;
  };
  std::map<std::uint64_t, Queue> queues_;
  std::map<std::tuple<persistence::Kind, std::string, std::string>, persistence::Bytes>
      definitions_;
};

// Batches as brokers make them: positions grow, queues come and go with ids that are never reused,
// settles mostly near the front, now and then of what is already gone.
class BatchDice {
 public:
  explicit BatchDice(std::uint64_t seed) : random_(seed) {}
  persistence::WriteBatch roll();
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

 private:
  persistence::Record roll_record();
  std::string roll_text(std::size_t size_max);

  std::mt19937_64 random_;
  std::vector<std::uint64_t> queues_;
  std::map<std::uint64_t, persistence::Seq> next_seq_;
  std::uint64_t next_queue_ = 1;
};

}  // namespace harrier::store_tests
