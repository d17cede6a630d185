// SPDX-License-Identifier: Apache-2.0
//
// Pipelined queue.declare: they share write batches, and nobody can tell otherwise. Two shards with
// a store; the definitions are on shard 0.
#include "tests/unit/broker/pipeline_fixture.hpp"

namespace harrier::broker {
namespace {

using DeclareTest = PipelineFixture;

TEST_F(DeclareTest, PipelinedOnesShareWriteBatches) {
  for (const ShardId shard : {ShardId{0}, ShardId{1}}) {
    Client client{open(shard)};
    Texts expected;
    for (int i = 0; i < 1'000; ++i) {
      const std::string name = std::to_string(shard) + "." + std::to_string(i);
      append(client.unsent, 1, durable(name));
      expected.push_back(name + " 0");
    }
    client.offer();
    EXPECT_TRUE(client.unsent.empty());
    EXPECT_EQ(finish(client), 1u);
    EXPECT_EQ(answers(client.session), expected);
  }
}

TEST_F(DeclareTest, OneByOneEachHasItsBatch) {
  Client client{open(1)};
  for (const char* name : {"a", "b", "c"}) {
    declare(client, name);
    EXPECT_EQ(finish(client), 1u);
    EXPECT_EQ(answers(client.session), Texts{std::string(name) + " 0"});
  }
}

TEST_F(DeclareTest, NoneIsAnsweredBeforeItIsDurable) {
  Client client{open(1)};
  declare(client, "a");
  declare(client, "b");
  exchange();
  declare(client, "c");  // behind a batch that is on its way
  exchange();
  ASSERT_EQ(waiting.size(), 2u);
  EXPECT_EQ(answers(client.session), Texts{});
  EXPECT_FALSE(exists(1, "a"));
  release(0);
  exchange();
  EXPECT_EQ(answers(client.session), (Texts{"a 0", "b 0"}));
  EXPECT_TRUE(exists(0, "b") && exists(1, "b"));
  EXPECT_TRUE(client.session.parked());
  EXPECT_FALSE(exists(1, "c"));
  release(0);
  exchange();
  EXPECT_EQ(answers(client.session), Texts{"c 0"});
  EXPECT_FALSE(client.session.parked());
}

TEST_F(DeclareTest, NoMoreThanTheLimitAreOut) {
  Client client{open(1)};
  const std::size_t count = 2 * OutstandingChanges::kMax + 1;
  for (std::size_t i = 0; i < count; ++i) {
    append(client.unsent, 1, durable("q" + std::to_string(i)));
  }
  client.offer();
  EXPECT_FALSE(client.session.wants_input());
  Bytes left;
  for (std::size_t i = OutstandingChanges::kMax; i < count; ++i) {
    append(left, 1, durable("q" + std::to_string(i)));
  }
  EXPECT_EQ(client.unsent, left);
  EXPECT_EQ(finish(client), 3u);
  EXPECT_EQ(answers(client.session).size(), count);
}

TEST_F(DeclareTest, PublishesBehindThemFindTheirQueues) {
  Client client{open(1)};
  declare(client, "a");
  declare(client, "b");
  const Bytes before = client.unsent;
  ASSERT_TRUE(before.empty());
  protocol::BasicPublish publish;
  publish.routing_key = "b";
  append(client.unsent, 1, publish);
  const Bytes header = content_header(true);
  client.unsent.insert(client.unsent.end(), header.begin(), header.end());
  protocol::QueueDeclare passive;
  passive.queue = "b";
  passive.passive = true;
  append(client.unsent, 1, passive);
  const std::size_t held = client.unsent.size();
  client.offer();
  EXPECT_EQ(client.unsent.size(), held);
  EXPECT_FALSE(client.session.wants_input());
  finish(client);
  EXPECT_EQ(answers(client.session), (Texts{"a 0", "b 0", "b 1"}));
}

// What it is, and how it is answered once its turn has come.
TEST_F(DeclareTest, EverythingElseWaits) {
  using Make = std::function<void(Bytes&)>;
  const auto with = [](std::uint16_t channel, auto change) -> Make {
    return [channel, change](Bytes& bytes) {
      protocol::QueueDeclare declare = durable("b");
      change(declare);
      append(bytes, channel, declare);
    };
  };
  protocol::Table bad;
  bad.add("x-queue-type", "nonsense");
  const std::vector<std::pair<Make, Texts>> cases = {
      {with(1, [](auto& d) { d.queue = "a"; }), {"a 0", "a 0"}},
      {with(1, [](auto& d) { d.queue = "there"; }), {"a 0", "there 0"}},
      {with(1, [](auto& d) { d.passive = true; }), {"a 0", "channel.close"}},
      {with(1, [](auto& d) { d.queue = "amq.b"; }), {"a 0", "channel.close"}},
      {with(1, [&](auto& d) { d.arguments = bad.view(); }), {"a 0", "channel.close"}},
      {with(2, [](auto&) {}), {"a 0", "b 0"}},
      {with(3, [](auto&) {}), {"a 0", "connection.close"}},
      {[](Bytes& bytes) { append(bytes, 1, protocol::ChannelClose{}); },
       {"a 0", "channel.close-ok"}},
      {[](Bytes& bytes) { append(bytes, 0, protocol::ConnectionClose{}); },
       {"a 0", "connection.close-ok"}},
      {[](Bytes& bytes) { bytes.assign(8, 0xff); }, {"a 0", "connection.close"}},
  };
  Client first{open(0)};
  declare(first, "there");
  finish(first);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Client client{open(1)};
    send(client.session, 2, protocol::ChannelOpen{});
    answers(client.session);
    declare(client, "a");
    ASSERT_TRUE(client.unsent.empty());
    EXPECT_TRUE(client.session.wants_input());
    cases[i].first(client.unsent);
    const Bytes held = client.unsent;
    client.offer();
    EXPECT_EQ(client.unsent, held) << i;
    EXPECT_FALSE(client.session.wants_input()) << i;
    EXPECT_EQ(answers(client.session), Texts{}) << i;
    finish(client);
    EXPECT_EQ(answers(client.session), cases[i].second) << i;
    for (const char* name : {"a", "b"}) delete_queue(first.session, name);
  }
}

TEST_F(DeclareTest, NowaitOnesAreOutTogetherToo) {
  Client client{open(1)};
  for (const char* name : {"a", "b", "c"}) {
    protocol::QueueDeclare declare = durable(name);
    declare.nowait = true;
    append(client.unsent, 1, declare);
  }
  protocol::QueueDeclare last;  // the last declared one
  last.passive = true;
  last.queue = "c";
  append(client.unsent, 1, last);
  client.offer();
  EXPECT_EQ(finish(client), 1u);
  EXPECT_EQ(answers(client.session), Texts{"c 0"});
}

TEST_F(DeclareTest, AServerNamedOneMayBeTheFirst) {
  Client client{open(1)};
  declare(client, "");
  declare(client, "b");
  EXPECT_TRUE(client.unsent.empty());
  declare(client, "");  // this one waits
  EXPECT_FALSE(client.unsent.empty());
  EXPECT_EQ(finish(client), 1u);
  const Texts all = answers(client.session);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_TRUE(all[0].starts_with("amq.gen-"));
  EXPECT_EQ(all[1], "b 0");
  EXPECT_EQ(all[2], all[0]);  // names of the fixture are all the same: declared again
}

// Another connection was faster, and this shard has not heard of it.
class RacingDeclareTest : public DeclareTest {
 protected:
  RacingDeclareTest() {
    declare(other, "x");
    exchange();
  }
  Client other{open(0)};
  Client client{open(1)};
};

TEST_F(RacingDeclareTest, ARefusalClosesTheChannelAfterThoseBehindAreDone) {
  declare(client, "a");
  protocol::QueueDeclare transient;
  transient.queue = "x";
  append(client.unsent, 1, transient);
  client.offer();
  exchange();
  declare(client, "b");
  declare(client, "c");
  ASSERT_TRUE(client.unsent.empty());
  exchange();
  ASSERT_EQ(waiting.size(), 3u);
  release(0);
  release(0);
  exchange();
  EXPECT_EQ(answers(client.session), Texts{"a 0"});
  append(client.unsent, 1, durable("d"));  // the refusal is known: it must not be sent any more
  client.offer();
  EXPECT_FALSE(client.session.wants_input());
  release(0);
  exchange();
  EXPECT_EQ(answers(client.session), Texts{"channel.close"});
  EXPECT_TRUE(exists(0, "c") && exists(1, "c"));
  append(client.unsent, 1, protocol::ChannelCloseOk{});
  append(client.unsent, 1, protocol::ChannelOpen{});
  append(client.unsent, 1, durable("e"));
  finish(client);
  EXPECT_EQ(answers(client.session), (Texts{"channel.open-ok", "e 0"}));
  EXPECT_FALSE(exists(0, "d"));
}

TEST_F(RacingDeclareTest, WhatIsInAQueueThatWasThereIsCounted) {
  for (const char* name : {"a", "x", "b"}) declare(client, name);
  ASSERT_TRUE(client.unsent.empty());
  exchange();
  release(0);
  exchange();
  EXPECT_EQ(answers(other.session), Texts{"x 0"});
  publish(other.session, "x");
  exchange();
  EXPECT_EQ(answers(client.session), Texts{});
  settle();
  EXPECT_EQ(answers(client.session), (Texts{"a 0", "x 1", "b 0"}));
  EXPECT_FALSE(client.session.parked());
}

TEST_F(RacingDeclareTest, AQueueThatWentMeanwhileIsDeclaredAgainAndAnsweredInItsTurn) {
  for (const char* name : {"a", "x", "b"}) declare(client, name);
  ASSERT_TRUE(client.unsent.empty());
  exchange();
  release(0);
  exchange();
  delete_queue(other.session, "x");  // before the answers come
  EXPECT_EQ(answers(client.session), (Texts{"a 0", "x 0", "b 0"}));
  EXPECT_FALSE(client.session.parked());
  EXPECT_TRUE(exists(0, "x") && exists(1, "x"));
}

TEST_F(RacingDeclareTest, ManyThatWereThereAreCountedOneByOne) {
  Session& session = open(0);  // where the counts are: asking is a call
  Client same{session};
  for (int i = 0; i < 1'000; ++i) append(other.unsent, 1, durable("q" + std::to_string(i)));
  settle();
  other.offer();
  for (int i = 0; i < 1'000; ++i) append(same.unsent, 1, durable("q" + std::to_string(i)));
  same.offer();
  ASSERT_TRUE(same.unsent.empty());
  settle();
  EXPECT_EQ(answers(session).size(), 1'000u);
  EXPECT_FALSE(session.parked());
}

// ---- the end of the connection while declares are out ----

TEST_F(DeclareTest, ExclusiveOnesGoWithTheConnection) {
  Client client{open(1)};
  for (const char* name : {"a", "b"}) {
    protocol::QueueDeclare declare;
    declare.queue = name;
    declare.exclusive = true;
    append(client.unsent, 1, declare);
  }
  client.offer();
  EXPECT_TRUE(client.session.parked());
  client.session.peer_gone();
  settle();
  EXPECT_TRUE(client.session.finished());
  EXPECT_TRUE(client.session.output().empty());
  EXPECT_FALSE(exists(0, "a") || exists(0, "b"));
  EXPECT_TRUE(engines[1]->queue_infos().empty());
}

TEST_F(DeclareTest, AForcedCloseIsAllThatIsSaid) {
  Client client{open(1)};
  declare(client, "a");
  declare(client, "b");
  client.session.force_close("shutdown");
  settle();
  EXPECT_EQ(answers(client.session), Texts{"connection.close"});
  EXPECT_TRUE(exists(0, "a") && exists(0, "b"));
}

}  // namespace
}  // namespace harrier::broker
