// SPDX-License-Identifier: Apache-2.0
//
// Pipelined queue.bind and queue.delete, also between queue.declare: they share write batches, and
// nobody can tell otherwise. Two shards with a store; the definitions are on shard 0.
#include <algorithm>
#include <functional>
#include <utility>

#include "tests/unit/broker/pipeline_fixture.hpp"

namespace harrier::broker {
namespace {

class ChangesTest : public PipelineFixture {
 protected:
  static protocol::QueueBind bind(std::string_view queue, std::string_view key,
                                  std::string_view exchange = "amq.direct") {
    protocol::QueueBind bind;
    bind.queue = queue;
    bind.exchange = exchange;
    bind.routing_key = key;
    return bind;
  }
  static protocol::QueueDelete deletion(std::string_view queue) {
    protocol::QueueDelete method;
    method.queue = queue;
    return method;
  }
  template <class M>
  static void offer(Client& client, const M& method) {
    append(client.unsent, 1, method);
    client.offer();
  }
  // What was recorded with the store so far, of these kinds.
  template <class R>
  std::size_t recorded(persistence::Kind kind) const {
    std::size_t count = 0;
    for (const Waiting& batch : waiting) {
      for (const persistence::Record& record : batch.batch.records()) {
        const auto* const found = std::get_if<R>(&record);
        if (found != nullptr && found->kind == kind) ++count;
      }
    }
    return count;
  }
  void declare_and_finish(Client& client, std::string_view name) {
    declare(client, name);
    finish(client);
    answers(client.session);
  }
};

TEST_F(ChangesTest, BindsShareAWriteBatch) {
  for (const ShardId shard : {ShardId{0}, ShardId{1}}) {
    Client client{open(shard)};
    const std::string queue = "q" + std::to_string(shard);
    declare_and_finish(client, queue);
    // "" is the same queue.
    for (int i = 0; i < 1'000; ++i) {
      append(client.unsent, 1, bind(i % 2 == 0 ? queue : "", "k" + std::to_string(i)));
    }
    client.offer();
    EXPECT_TRUE(client.unsent.empty());
    exchange();
    EXPECT_EQ(recorded<persistence::Define>(persistence::Kind::Binding), 1'000u);
    EXPECT_EQ(answers(client.session), Texts{});
    EXPECT_EQ(finish(client), 1u);
    EXPECT_EQ(answers(client.session), Texts(1'000, "queue.bind-ok"));
    EXPECT_FALSE(client.session.parked());
  }
}

TEST_F(ChangesTest, QueuesAndTheirBindingsShareAWriteBatch) {
  Client client{open(1)};
  Texts expected;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "q" + std::to_string(i);
    append(client.unsent, 1, durable(name));
    append(client.unsent, 1, bind(name, "key"));
    protocol::QueueBind silent = bind(name, "other");
    silent.nowait = true;
    append(client.unsent, 1, silent);
    expected.insert(expected.end(), {name + " 0", "queue.bind-ok"});
  }
  client.offer();
  EXPECT_TRUE(client.unsent.empty());
  exchange();
  EXPECT_EQ(recorded<persistence::Define>(persistence::Kind::Binding), 600u);
  EXPECT_EQ(finish(client), 1u);
  EXPECT_EQ(answers(client.session), expected);
}

TEST_F(ChangesTest, DeletesShareAWriteBatch) {
  Client client{open(1)};
  for (int i = 0; i < 300; ++i) {
    append(client.unsent, 1, durable("q" + std::to_string(i)));
    append(client.unsent, 1, bind("q" + std::to_string(i), "key"));
  }
  client.offer();
  finish(client);
  answers(client.session);
  for (int i = 0; i < 300; ++i) append(client.unsent, 1, deletion("q" + std::to_string(i)));
  client.offer();
  EXPECT_TRUE(client.unsent.empty());
  exchange();
  EXPECT_EQ(recorded<persistence::Forget>(persistence::Kind::Queue), 300u);
  EXPECT_LE(finish(client), 2u);  // the definitions, and the contents on the queues' own shard
  EXPECT_EQ(answers(client.session), Texts(300, "queue.delete-ok"));
  EXPECT_FALSE(exists(0, "q0") || exists(1, "q299"));
}

// The one whose queue is on the control shard is done first.
TEST_F(ChangesTest, DeletesAreAnsweredInOrder) {
  Client client{open(1)};
  Client other{open(0)};
  declare_and_finish(client, "far");
  declare_and_finish(other, "near");
  publish(client.session, "far");
  for (int i = 0; i < 2; ++i) publish(client.session, "near");
  settle();
  for (const char* name : {"far", "near"}) append(client.unsent, 1, deletion(name));
  client.offer();
  ASSERT_TRUE(client.unsent.empty());
  finish(client);
  const Bytes bytes = take_output(client.session);
  protocol::ByteView rest = bytes;
  for (const std::uint32_t messages : {1u, 2u}) {
    const auto result = protocol::read_frame(rest, 0);
    ASSERT_EQ(result.status, protocol::FrameStatus::Complete);
    rest = rest.subspan(result.size);
    protocol::QueueDeleteOk ok;
    ASSERT_EQ(protocol::decode_as(result.frame.payload, ok), protocol::DecodeStatus::Ok);
    EXPECT_EQ(ok.message_count, messages);
  }
  EXPECT_TRUE(rest.empty());
}

// What is out already, what comes behind it, and how both are answered once their turn has come.
TEST_F(ChangesTest, WhatMayFailOrDependsOnTheOthersWaits) {
  using Make = std::function<void(Bytes&)>;
  const auto of = [](auto method) -> Make {
    return [method](Bytes& bytes) { append(bytes, 1, method); };
  };
  protocol::Table nonsense;
  nonsense.add("x-match", "nonsense");
  protocol::QueueBind bad = bind("q", "k", "amq.headers");
  bad.arguments = nonsense.view();
  protocol::QueueDelete if_empty = deletion("q");
  if_empty.if_empty = true;
  protocol::QueueUnbind unbind;
  unbind.queue = "q";
  unbind.exchange = "amq.direct";
  protocol::QueueDeclare passive;
  passive.queue = "q";
  passive.passive = true;
  const Make bound = of(bind("q", "k"));
  const Make deleted = of(deletion("p"));
  const Make declared = of(durable("new"));
  struct Case {
    Make out, behind;
    Texts answers;
  };
  const std::vector<Case> cases = {
      {bound, of(bind("missing", "k")), {"queue.bind-ok", "channel.close"}},
      {bound, of(bind("q", "k", "missing")), {"queue.bind-ok", "channel.close"}},
      {bound, of(bind("q", "k", "")), {"queue.bind-ok", "channel.close"}},
      {bound, of(bind("locked", "k")), {"queue.bind-ok", "channel.close"}},
      {bound, of(bad), {"queue.bind-ok", "channel.close"}},
      {bound, of(bind("", "k")), {"queue.bind-ok", "channel.close"}},  // nothing declared yet
      {bound, of(unbind), {"queue.bind-ok", "queue.unbind-ok"}},
      {bound, of(passive), {"queue.bind-ok", "q 0"}},
      {bound, of(if_empty), {"queue.bind-ok", "queue.delete-ok"}},
      {bound, of(deletion("missing")), {"queue.bind-ok", "queue.delete-ok"}},
      {bound, of(deletion("locked")), {"queue.bind-ok", "channel.close"}},
      {deleted, of(deletion("p")), {"queue.delete-ok", "queue.delete-ok"}},
      {deleted, of(durable("p")), {"queue.delete-ok", "p 0"}},
      {deleted, of(bind("p", "k")), {"queue.delete-ok", "channel.close"}},
      {deleted, bound, {"queue.delete-ok", "queue.bind-ok"}},
      {declared, of(bind("", "k")), {"new 0", "queue.bind-ok"}},
      {declared, of(deletion("new")), {"new 0", "queue.delete-ok"}},
  };
  Client first{open(0)};
  protocol::QueueDeclare exclusive;
  exclusive.queue = "locked";
  exclusive.exclusive = true;
  send(first.session, 1, exclusive);
  settle();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    for (const char* name : {"q", "p"}) declare_and_finish(first, name);
    Client client{open(1)};
    cases[i].out(client.unsent);
    client.offer();
    ASSERT_TRUE(client.unsent.empty()) << i;
    EXPECT_TRUE(client.session.wants_input()) << i;
    cases[i].behind(client.unsent);
    const Bytes held = client.unsent;
    client.offer();
    EXPECT_EQ(client.unsent, held) << i;
    EXPECT_FALSE(client.session.wants_input()) << i;
    finish(client);
    EXPECT_EQ(answers(client.session), cases[i].answers) << i;
    for (const char* name : {"q", "p", "new"}) delete_queue(first.session, name);
  }
}

TEST_F(ChangesTest, OneThatIsSureToFailIsFollowedByNothing) {
  Client client{open(1)};
  declare_and_finish(client, "q");
  offer(client, bind("q", "k", "missing"));
  offer(client, bind("q", "k"));
  EXPECT_FALSE(client.unsent.empty());
  finish(client);
  EXPECT_EQ(answers(client.session), Texts{"channel.close"});
}

// Another connection was faster, and this shard has not heard of it.
TEST_F(ChangesTest, ARefusalNamesItsMethodAndComesAfterThoseBehindAreDone) {
  Client other{open(0)};
  Client client{open(1)};
  protocol::ExchangeDeclare declare_exchange;
  declare_exchange.exchange = "x";
  declare_exchange.type = "direct";
  declare_exchange.durable = true;
  send(other.session, 1, declare_exchange);
  settle();
  declare_and_finish(client, "q");
  protocol::ExchangeDelete gone;
  gone.exchange = "x";
  offer(other, gone);
  exchange();
  offer(client, bind("q", "k"));
  offer(client, bind("q", "k", "x"));
  offer(client, durable("behind"));
  ASSERT_TRUE(client.unsent.empty());
  EXPECT_EQ(answers(client.session), Texts{});
  settle();
  const Bytes bytes = take_output(client.session);
  const auto bound = protocol::read_frame(bytes, 0);
  ASSERT_EQ(bound.status, protocol::FrameStatus::Complete);
  EXPECT_EQ(protocol::peek_method(bound.frame.payload), protocol::QueueBindOk::kId);
  const auto closed = protocol::read_frame(protocol::ByteView(bytes).subspan(bound.size), 0);
  ASSERT_EQ(closed.status, protocol::FrameStatus::Complete);
  protocol::ChannelClose close;
  ASSERT_EQ(protocol::decode_as(closed.frame.payload, close), protocol::DecodeStatus::Ok);
  EXPECT_EQ(close.reply_code, 404);
  EXPECT_EQ((protocol::MethodId{close.class_id, close.method_id}), protocol::QueueBind::kId);
  EXPECT_EQ(bound.size + closed.size, bytes.size());
  EXPECT_TRUE(exists(0, "behind") && exists(1, "behind"));
}

}  // namespace
}  // namespace harrier::broker
