// SPDX-License-Identifier: Apache-2.0
#include "persistence/message_store.hpp"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "persistence/queue_contents.hpp"

namespace harrier::persistence_tests {
namespace {

using namespace harrier::persistence;

StoredMessage message_of(Seq seq, std::size_t body_size) {
  const std::string body(body_size, 'x');
  return {
      seq,
      protocol::Message::create("", "", protocol::Properties().encode(), protocol::as_bytes(body)),
      0, std::nullopt, 0};
}

Fetched page_of(const QueueContents& contents, Seq from, std::size_t bytes_max) {
  Fetched page;
  page.next = contents.read(from, bytes_max, page.messages);
  return page;
}

// The second page's message lies below those that the first one has no room for.
TEST(MergeOfPages, TheNextIsTheLowestThatIsMissing) {
  QueueContents a;
  QueueContents b;
  b.insert(message_of(1, 100));
  b.insert(message_of(2, 10));
  a.insert(message_of(5, 10));
  a.insert(message_of(6, 10));
  const Fetched page = merge(page_of(a, 0, 50), page_of(b, 0, 50), 50);
  ASSERT_EQ(page.messages.size(), 1u);
  EXPECT_EQ(page.messages[0].seq, 1u);
  EXPECT_EQ(page.next, 2u);
}

TEST(MergeOfPages, EqualsThePageOfBothTogether) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    QueueContents a;
    QueueContents b;
    QueueContents both;
    for (Seq seq = 1; seq <= 40; ++seq) {
      const StoredMessage message = message_of(seq, random() % 60);
      if (random() % 4 == 0) continue;
      (random() % 2 == 0 ? a : b).insert(message);
      both.insert(message);
    }
    const std::size_t bytes_max = random() % 200;
    std::optional<Seq> from = 0;
    while (from) {
      const Fetched page =
          merge(page_of(a, *from, bytes_max), page_of(b, *from, bytes_max), bytes_max);
      const Fetched expected = page_of(both, *from, bytes_max);
      ASSERT_EQ(page.messages.size(), expected.messages.size());
      for (std::size_t i = 0; i < page.messages.size(); ++i)
        ASSERT_EQ(page.messages[i].seq, expected.messages[i].seq);
      ASSERT_EQ(page.next, expected.next);
      from = page.next;
    }
  }
}

}  // namespace
}  // namespace harrier::persistence_tests
