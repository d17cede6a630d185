// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/audit.hpp"

#include <poll.h>

#include <cerrno>
#include <variant>

namespace harrier::crash_tests {
namespace {

constexpr int kDeliveryTimeoutMs = 30'000;
constexpr std::size_t kDeep = 5'000;  // copies; deeper queues are taken, so that none grows forever

// Reads one queue with a connection of its own.
class Reader {
 public:
  Reader(World& world, Queue& queue)
      : world_(world),
        queue_(queue),
        client_(world.port, [this](const protocol::Method& method, const Content& content) {
          on_method(method, content);
        }) {}

  std::uint32_t count() { return look().message_count; }

  Answer look() {
    const Answer answer = client_.look_at(queue_.name);
    require(answer.ok(), "queue " + queue_.name + ": " + answer.text);
    return answer;
  }

  const std::vector<Seen>& read(std::uint32_t count) {
    protocol::BasicConsume consume;
    consume.queue = queue_.name;
    client_.call(consume);
    while (all_.size() < count) {
      if (client_.gone()) throw Gone("reading queue " + queue_.name);
      pollfd entry{client_.socket(), client_.events(), 0};
      const int ready = ::poll(&entry, 1, kDeliveryTimeoutMs);
      if (ready < 0 && errno == EINTR) continue;
      require(ready > 0, "queue " + queue_.name + " counts " + std::to_string(count) +
                             " messages and delivers " + std::to_string(all_.size()));
      client_.pump(entry.revents);
    }
    const std::uint32_t left = this->count();
    require(left == 0 && all_.size() == count,
            "queue " + queue_.name + " counted " + std::to_string(count) + " messages, delivered " +
                std::to_string(all_.size()) + " and has " + std::to_string(left) + " more");
    return all_;
  }

  void take() {
    for (const Seen& seen : all_) world_.ledger.settle_asked(queue_, seen.key);
    if (all_.empty()) return;
    protocol::BasicAck ack;
    ack.delivery_tag = tag_;
    ack.multiple = true;
    client_.send(ack);
    require(count() == 0, "queue " + queue_.name + " is not empty after all was acknowledged");
  }

  void give_back() {
    for (const Seen& seen : all_) world_.ledger.requeued(queue_, seen.key);
    protocol::BasicCancel cancel;
    cancel.consumer_tag = tag_text_;
    client_.call(cancel);
    if (all_.empty()) return;
    protocol::BasicNack nack;
    nack.delivery_tag = tag_;
    nack.multiple = true;
    client_.send(nack);
    const std::uint32_t back = count();
    require(back == all_.size(), "queue " + queue_.name + " has " + std::to_string(back) + " of " +
                                     std::to_string(all_.size()) + " given back");
  }

 private:
  void on_method(const protocol::Method& method, const Content& content) {
    const auto* deliver = std::get_if<protocol::BasicDeliver>(&method);
    require(deliver != nullptr, "an audit got " + protocol::print(method));
    tag_ = deliver->delivery_tag;
    tag_text_ = deliver->consumer_tag;
    all_.push_back(world_.ledger.read(queue_, method, content));
  }

  World& world_;
  Queue& queue_;
  std::vector<Seen> all_;
  std::uint64_t tag_ = 0;
  std::string tag_text_;
  Client client_;
};

void audit_one(World& world, Queue& queue, bool all) {
  const auto [owed, possible] = world.ledger.count_bounds(queue);
  Reader reader(world, queue);
  const std::uint32_t count = reader.count();
  require(count <= possible, "queue " + queue.name + " holds " + std::to_string(count) +
                                 " messages, of which only " + std::to_string(possible) +
                                 " can be");
  const bool must =
      all || queue.deduplicates || world.ledger.open_groups(queue) || queue.copies.size() > kDeep;
  // Fewer than owed: reading it says which one is lost.
  if (!must && count >= owed && world.dice.one_in(2)) return;
  world.ledger.audited(queue, reader.read(count));
  require(count >= owed, "queue " + queue.name + " miscounts");
  if (count > kDeep || world.dice.one_in(2)) {
    reader.take();
  } else {
    reader.give_back();
  }
}

constexpr int kLooksMax = 100'000;

}  // namespace

void await_release(World& world) {
  for (Queue* queue : world.ledger.queues()) {
    Reader reader(world, *queue);
    const std::uint64_t owed = world.ledger.count_bounds(*queue).first;
    for (int looks = 0;; ++looks) {
      const Answer answer = reader.look();
      if (answer.consumer_count == 0 && answer.message_count >= owed) break;
      require(looks < kLooksMax, "queue " + queue->name + " never gets back what clients held");
    }
  }
}

void audit(World& world, bool all) {
  for (Queue* queue : world.ledger.queues()) audit_one(world, *queue, all);
  world.ledger.audit_is_over();
}

}  // namespace harrier::crash_tests
