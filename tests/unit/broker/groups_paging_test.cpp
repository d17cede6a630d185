// SPDX-License-Identifier: Apache-2.0
//
// Message groups in a queue that is longer than its window: what goes out of its turn leaves holes
// in what is in memory, and what is behind them may be in the store only.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "tests/unit/broker/paging_fixture.hpp"

namespace harrier::broker {
namespace {

class GroupsPagingTest : public QueuePagingTest {
 protected:
  GroupsPagingTest() { open(true, grouped()); }

  static protocol::Table grouped() {
    protocol::Table arguments;
    arguments.add("x-message-group-header", "routing-key");
    return arguments;
  }
  // One message for each letter, of the group of that name.
  void publish_to(std::string_view groups, bool persistent = true) {
    for (const char group : groups)
      queue->publish(message(persistent, 100, std::string(1, group)), *this);
  }
  Texts sorted() {
    Texts all = taken();
    std::ranges::sort(all);
    return all;
  }
  // 1, 2 and 4 are out, 3 is of the group of 2; nobody consumes any more.
  void hand_out_past_a_busy_group() {
    publish_to("xyyz");
    make_durable();
    for (const char name : {'a', 'b', 'c'}) consume(name, 1);
    answer_all();
    EXPECT_EQ(taken(), (Texts{"a1", "b2", "c4"}));
    for (const char name : {'a', 'b', 'c'}) queue->cancel(ref(name));
  }
};

// What waits for its owner is held within the window; messages go out of their turn, and what is
// behind the window must not be taken for what is in the store.
TEST_F(GroupsPagingTest, GroupsAreInOrderAcrossTheBoundary) {
  constexpr Seq kMessages = 60;
  for (Seq seq = 1; seq <= kMessages; ++seq)
    queue->publish(message(seq % 4 != 0, 100, seq % 3 == 0 ? "x" : "y"), *this);
  make_durable();
  consume('a', 1);
  consume('b', 2);
  std::map<bool, Seq> last;
  std::map<bool, std::uint32_t> owner;
  std::size_t settled = 0;
  for (int i = 0; i < 1'000 && settled < kMessages; ++i) {
    make_durable();
    answer_all();
    for (; settled < deliveries.size(); ++settled) {
      const Delivery& each = deliveries[settled];
      const bool group = each.seq % 3 == 0;
      EXPECT_LT(last[group], each.seq);
      last[group] = each.seq;
      EXPECT_EQ(owner.try_emplace(group, each.consumer.consumer).first->second,
                each.consumer.consumer);
      if (settled % 5 == 4) continue;
      queue->settle({QueueId{1}, each.seq, each.slot, Outcome::Ack}, *this);
      queue->evict();
      queue->page_out(*this);
    }
    while (!pieces.empty()) store_piece();
    for (std::size_t at = 4; at < settled; at += 5) settle(at, Outcome::Ack);
  }
  EXPECT_EQ(settled, kMessages);
  EXPECT_EQ(queue->ready_count(), 0u);
  make_durable();
  EXPECT_EQ(in_store(store), 0u);
}

// Found by the simulation: 1 was fetched again beside the one that had come back.
TEST_F(GroupsPagingTest, WhatAGroupHasHandedOutOfItsTurnIsNotThereTwice) {
  queue->publish(message(true, 100, "x"), *this);
  queue->publish(message(true, 100, "x"), *this);
  queue->publish(message(true, 100, "y"), *this);
  make_durable();
  consume('a', 1);
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b3"}));
  queue->cancel(ref('a'));
  queue->release(ref('b').channel, *this);
  queue->evict();
  queue->page_out(*this);
  consume('c');
  answer_all();
  settle(0, Outcome::Requeue);
  answer_all();
  auto all = taken();
  std::ranges::sort(all);
  EXPECT_EQ(all, (Texts{"c1r", "c2", "c3r"}));
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(GroupsPagingTest, AnIdleQueueGivesUpItsWindow) {
  publish_to("xxy");
  make_durable();
  consume('a', 1);
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b3"}));
  queue->cancel(ref('a'));
  queue->cancel(ref('b'));
  EXPECT_GT(residents.bytes, 0u);
  EXPECT_TRUE(queue->evict());
  EXPECT_EQ(residents.bytes, 0u);
  EXPECT_EQ(queue->ready_count(), 1u);
  consume('c');
  answer_all();
  EXPECT_TRUE(taken().empty()) << "1 is out, and 2 is of its group";
  settle(0, Outcome::Requeue);
  settle(1, Outcome::Requeue);
  EXPECT_EQ(sorted(), (Texts{"c1r", "c2", "c3r"}));
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(GroupsPagingTest, WhatIsSettledInABatchThatIsNotDurableIsGone) {
  publish_to("xxyx");
  make_durable();
  consume('a', 1);
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b3"}));
  settle(1, Outcome::Ack);
  queue->cancel(ref('b'));
  queue->evict();
  settle(0, Outcome::Ack);
  EXPECT_TRUE(taken().empty());
  answer_all();  // the store still has 1 and 3
  EXPECT_EQ(taken(), Texts{"a2"});
  make_durable();
  settle(2, Outcome::Ack);
  answer_all();
  EXPECT_EQ(taken(), Texts{"a4"});
  EXPECT_EQ(queue->ready_count(), 0u);
}

TEST_F(GroupsPagingTest, APurgeLeavesWhatIsOut) {
  publish_to("xxyxx");
  make_durable();
  consume('a', 1);
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b3"}));
  queue->evict();
  EXPECT_EQ(queue->purge(*this), 3u);
  EXPECT_EQ(purges, (std::vector<std::pair<Seq, Seq>>{{2, 2}, {4, 5}}));
  make_durable();
  EXPECT_EQ(in_store(store), 2u);
  settle(0, Outcome::Requeue);
  settle(1, Outcome::Requeue);
  EXPECT_EQ(sorted(), (Texts{"a1r", "b3r"}));
}

TEST_F(GroupsPagingTest, AGetWaitsForWhatIsAheadOfAReturnedOne) {
  hand_out_past_a_busy_group();
  settle(1, Outcome::Ack);
  settle(2, Outcome::Requeue);
  queue->evict();
  EXPECT_EQ(get(), "later");
  answer_all();
  EXPECT_EQ(replies, Texts{"3/1"});
  EXPECT_EQ(get(), "4r/0");
}

// Found by the simulation.
TEST_F(GroupsPagingTest, AReturnedOneWaitsForWhatIsAheadOfIt) {
  hand_out_past_a_busy_group();
  settle(1, Outcome::Requeue);
  settle(2, Outcome::Requeue);
  queue->evict();
  settle(0, Outcome::Ack);
  consume('d');
  EXPECT_EQ(taken(), Texts{"d2r"});
  answer_all();
  EXPECT_EQ(taken(), (Texts{"d3", "d4r"}));
}

TEST_F(GroupsPagingTest, TransientOnesArePagedOut) {
  publish_to("xxxxyxxxx", false);
  consume('a', 1);
  consume('b', 1);
  EXPECT_EQ(taken(), (Texts{"a1", "b5"}));
  queue->cancel(ref('a'));
  queue->cancel(ref('b'));
  while (queue->page_out(*this)) store_piece();
  EXPECT_EQ(queue->info().messages_paged, 4u);
  EXPECT_EQ(in_store(paged), 4u) << "the window stays";
  settle(0, Outcome::Ack);
  consume('c');
  answer_all();
  EXPECT_EQ(taken(), (Texts{"c2", "c3", "c4", "c6", "c7", "c8", "c9"}));
  EXPECT_EQ(in_store(paged), 0u);
}

TEST_F(GroupsPagingTest, WhoHasRoomNeedNotWaitForABusyGroup) {
  publish_to("xxxxxxxxxxxxxxxxxxxxy");
  make_durable();
  consume('a', 1);
  answer_all();
  EXPECT_EQ(taken(), Texts{"a1"});
  EXPECT_LE(residents.bytes, 2 * residents.window_bytes) << "nobody else is there";
  consume('b', 1);
  answer_all();
  EXPECT_EQ(taken(), Texts{"b21"});
  settle(0, Outcome::Ack);
  EXPECT_EQ(taken(), Texts{"a2"});
  publish_to("z");
  settle(1, Outcome::Ack);
  answer_all();
  EXPECT_EQ(taken(), Texts{"b22"}) << "though it comes when there is no more room";
}

TEST_F(GroupsPagingTest, TransientOnesAreNotGivenUpWhileSomebodyLooksForThem) {
  publish_to("xxxxxxxxy", false);
  while (queue->page_out(*this)) store_piece();
  EXPECT_EQ(queue->info().messages_paged, 6u);
  consume('a', 1);
  consume('b', 1);
  answer_all();
  EXPECT_EQ(taken(), (Texts{"a1", "b9"}));
  EXPECT_FALSE(queue->page_out(*this));
  settle(1, Outcome::Ack);
  answer_all();
  EXPECT_TRUE(fetches.empty());
}

// A hundred kilobytes each: the tenth, about, is too far away.
TEST_F(GroupsPagingTest, ItDoesNotLookFurtherThanItMay) {
  constexpr std::uint64_t kMost = 1024 * 1024 + 200 * 1024;
  for (int i = 0; i < 30; ++i) queue->publish(message(true, 100 * 1024, "x"), *this);
  publish_to("y");
  make_durable();
  consume('a', 1);
  consume('b', 1);
  answer_all();
  EXPECT_EQ(taken(), Texts{"a1"});
  EXPECT_EQ(get(), "empty") << "nor does a get wait for it";
  for (std::size_t at = 0; at < 20; ++at) {
    EXPECT_LE(residents.bytes, kMost);
    queue->sent({QueueId{1}, ref('a'), 1, 100 * 1024}, *this);
    settle(at, Outcome::Ack);
    answer_all();
  }
  EXPECT_NE(std::ranges::find(delivered, "b31"), delivered.end());
  EXPECT_LE(residents.bytes, kMost);
}

TEST_F(GroupsPagingTest, AGetLooksAheadToo) {
  publish_to("xxxxxxxxy");
  make_durable();
  consume('a', 1);
  EXPECT_EQ(get('g', false), "later");
  answer_all();
  EXPECT_EQ(replies, Texts{"9/7"});
  EXPECT_EQ(get('h'), "empty") << "all is in memory";
  publish_to("x");
  EXPECT_EQ(get('h'), "later") << "it might have been of another group";
  make_durable();
  answer_all();
  EXPECT_EQ(replies, (Texts{"9/7", "empty"}));
}

// Any mix of events, with restarts: what goes out is the first of its group that waits, the group
// is with nobody else, and nothing is lost or there twice.
class GroupsPagingModelTest : public GroupsPagingTest {
 protected:
  struct Held {
    char consumer = 0;
    std::uint32_t slot = 0;
  };

  unsigned below(unsigned bound) { return static_cast<unsigned>(dice() % bound); }
  void begin(unsigned seed) {
    dice.seed(seed);
    arguments = grouped();
    if (below(3) == 0) arguments.add_int32("x-group-max-unacked", 1);
    forget_all();
    reopen();
    waiting.clear();
  }
  void reopen() {
    persistence::Recovery recovery;
    recovery.head_bytes_max = 0;
    ASSERT_TRUE(store.recover(recovery).ok());
    open(true, arguments);
    for (const auto& each : recovery.queues) {
      if (each.queue == kStored) queue->restore(each, false);
    }
  }
  // As a crash does, after what was recorded has become durable.
  void restart() {
    make_durable();
    std::erase_if(waiting, [&](const auto& each) { return transient.contains(each.first); });
    for (const auto& [seq, held] : held_now) {
      if (!transient.contains(seq)) waiting[seq] = group_of[seq];
    }
    forget_all();
    reopen();
    ASSERT_EQ(queue->ready_count(), waiting.size());
  }
  void forget_all() {
    queue.reset();
    paged.drop_paged(kStored, 0, ~Seq{0});
    fetches.clear();
    pieces.clear();
    residents.waiting.clear();
    delivered.clear();
    deliveries.clear();
    held_now.clear();
    consumers.clear();
    prefetch.clear();
    transient.clear();
  }
  void publish_any() {
    const Seq seq = queue->info().messages_published + 1;
    const char group = static_cast<char>('u' + below(5));
    const bool persistent = below(3) != 0;
    transient.erase(seq);
    if (!persistent) transient.insert(seq);
    waiting[seq] = group_of[seq] = group;
    publish_to(std::string_view(&group, 1), persistent);
  }
  void settle_any(Outcome outcome) {
    if (held_now.empty()) return;
    auto at = held_now.begin();
    std::advance(at, below(static_cast<unsigned>(held_now.size())));
    const auto [seq, held] = *at;
    held_now.erase(at);
    if (outcome == Outcome::Requeue) waiting[seq] = group_of[seq];
    queue->settle({QueueId{1}, seq, held.slot, outcome}, *this);
  }
  void release(char name) {
    std::erase_if(held_now, [&](const auto& each) {
      if (each.second.consumer != name) return false;
      waiting[each.first] = group_of[each.first];
      return true;
    });
    consumers.erase(name);
    prefetch.erase(name);
    queue->release(ref(name).channel, *this);
  }
  void act() {
    const char name = static_cast<char>('a' + below(4));
    switch (below(16)) {
      case 0:
      case 1:
        if (consumers.insert(name).second) consume(name, prefetch[name] = 1 + below(3));
        break;
      case 2:
        release(name);
        break;
      case 3:
        if (prefetch.erase(name) > 0) queue->cancel(ref(name));
        break;
      case 4:
        queue->evict();
        break;
      case 5:
        queue->page_out(*this);
        break;
      case 6:
        if (!pieces.empty()) store_piece();
        break;
      case 7:
        make_durable();
        break;
      case 8:
      case 9:
        if (!fetches.empty()) answer();
        break;
      case 10:
      case 11:
        for (unsigned more = below(6); more > 0; --more) publish_any();
        break;
      case 12:
        if (below(8) == 0) restart();
        if (below(8) == 0) {
          EXPECT_EQ(queue->purge(*this), std::exchange(waiting, {}).size());
        }
        break;
      default:
        settle_any(below(3) == 0 ? Outcome::Requeue : Outcome::Ack);
    }
  }
  void check() {
    for (const Delivery& each : std::exchange(deliveries, {})) {
      const char name = static_cast<char>('a' + each.consumer.consumer);
      const auto at = waiting.find(each.seq);
      ASSERT_NE(at, waiting.end()) << each.seq << " does not wait";
      const char group = at->second;
      const auto first =
          std::ranges::find_if(waiting, [&](const auto& other) { return other.second == group; });
      ASSERT_EQ(first->first, each.seq) << "is not the first of " << group;
      for (const auto& [seq, held] : held_now) {
        if (group_of[seq] == group) {
          ASSERT_EQ(held.consumer, name) << group;
        }
      }
      waiting.erase(at);
      held_now[each.seq] = {name, each.slot};
    }
    ASSERT_EQ(queue->ready_count(), waiting.size());
    ASSERT_EQ(queue->info().messages_unacknowledged, held_now.size());
  }

  // Once nothing is on its way: who is alone, and has room, has what he can have.
  void check_nobody_starves() {
    queue->deliver(*this);  // evict() leaves that to whoever comes
    for (int round = 0; round < 1'000; ++round) {
      make_durable();
      if (fetches.empty() && pieces.empty()) break;
      if (!fetches.empty()) answer();
      if (!pieces.empty()) store_piece();
    }
    check();
    if (prefetch.size() != 1 || queue->consumer_count() != 1) return;
    const char name = prefetch.begin()->first;
    const auto held = std::ranges::count_if(
        held_now, [&](const auto& each) { return each.second.consumer == name; });
    if (static_cast<unsigned>(held) >= prefetch[name]) return;
    for (const auto& [seq, of] : waiting) {
      const char group = of;
      const bool is_out = std::ranges::any_of(
          held_now, [&](const auto& each) { return group_of[each.first] == group; });
      ASSERT_TRUE(is_out) << seq << " of " << group << " could be with " << name;
    }
  }

  std::mt19937 dice;
  protocol::Table arguments;
  std::map<Seq, char> waiting;  // and its group
  std::map<Seq, char> group_of;
  std::map<Seq, Held> held_now;
  std::set<Seq> transient;
  std::set<char> consumers;           // with those that are cancelled
  std::map<char, unsigned> prefetch;  // without
};

TEST_F(GroupsPagingModelTest, AnyMixOfEvents) {
  for (unsigned seed = 1; seed <= 150; ++seed) {
    begin(seed);
    for (int step = 0; step < 400; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      act();
      check();
      if (step % 20 == 0) check_nobody_starves();
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
    SCOPED_TRACE("seed " + std::to_string(seed) + ", at the end");
    for (const char name : {'a', 'b', 'c', 'd'}) {
      release(name);
      check();
    }
    consume('a', 2);
    for (int round = 0; round < 2'000 && !(waiting.empty() && held_now.empty()); ++round) {
      check();
      make_durable();
      if (!fetches.empty()) answer();
      if (!pieces.empty()) store_piece();
      check();
      settle_any(Outcome::Ack);
      check();
      if (HasFatalFailure()) return;
    }
    ASSERT_TRUE(waiting.empty() && held_now.empty());
    make_durable();
    ASSERT_EQ(in_store(store) + in_store(paged), 0u);
    ASSERT_EQ(residents.bytes, 0u);
  }
}

}  // namespace
}  // namespace harrier::broker
